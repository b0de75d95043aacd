package plugin

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// Archive is the source of a plugin, to be built on another machine: a tar file with the plugin's module and those that
// it needs from this machine. The same source gives the same bytes.
type Archive struct {
	Raw    []byte
	SHA256 string
	// Package is the directory of the main package in it.
	Package string
	// Go is the version that the module asks for, such as "1.26.5".
	Go string
}

// maxArchive bounds what is sent: more is no source.
const maxArchive = 64 << 20

// ignored are the names that no build needs, or that must not leave the machine. The list is fixed, since no file on the
// side that builds, such as a .gitignore, can be known to say the same.
var ignored = []string{
	".git", ".hg", ".svn", ".DS_Store", ".idea", ".vscode", "node_modules", "__pycache__", ".venv", "venv",
	"outputs", "*.test", "*.prof", "*.ckpt", "*.tfevents.*", "events.out.*",
	".env", ".env.*", ".netrc", ".modal.toml", "*.pem", "*.key", "id_rsa", "id_ed25519", ".ssh", ".aws",
}

func isIgnored(name string) bool {
	return slices.ContainsFunc(ignored, func(pattern string) bool {
		match, _ := path.Match(pattern, name)
		return match
	})
}

// module is what the go command says of a module.
type module struct {
	Path      string
	Dir       string
	Main      bool
	GoVersion string
	Replace   *struct{ Path, Version string }

	// built says that packages of it are part of the plugin. Of another one, the go command wants to read go.mod.
	built bool
}

func (m *module) local() bool { return m.Main || m.Replace != nil && m.Replace.Version == "" }

// Pack makes the archive of a directory with a main package. Modules that are fetched are not in it, unless they are
// vendored. exit.Usage: it is no Go, or too large.
func Pack(ctx context.Context, dir string) (*Archive, error) {
	modules, workspace, err := localModules(ctx, dir)
	if err != nil {
		return nil, err
	}
	var roots []string
	for _, m := range modules {
		roots = append(roots, m.Dir)
	}
	top := commonParent(roots)
	within, err := filepath.Rel(top, dir)
	if err != nil {
		return nil, err
	}
	archive := &Archive{Package: filepath.ToSlash(within), Go: goVersion(modules)}
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	if workspace != "" {
		var text string
		if text, err = workspaceOf(ctx, dir, top, modules, archive.Go); err == nil {
			err = add(writer, "go.work", []byte(text))
		}
		if sums, readErr := os.ReadFile(workspace + ".sum"); err == nil && readErr == nil {
			err = add(writer, "go.work.sum", sums)
		}
	}
	written := map[string]bool{}
	for _, m := range modules {
		if err == nil && m.built {
			err = addTree(writer, &buffer, top, m.Dir, written)
		}
		for _, name := range []string{"go.mod", "go.sum"} {
			if err == nil && !m.built {
				err = addFile(writer, &buffer, top, filepath.Join(m.Dir, name), written)
			}
			if errors.Is(err, fs.ErrNotExist) && name == "go.sum" { // of a module that requires none
				err = nil
			}
		}
	}
	if err = errors.Join(err, writer.Close()); err != nil {
		return nil, err
	}
	archive.Raw = buffer.Bytes()
	sum := sha256.Sum256(archive.Raw)
	archive.SHA256 = hex.EncodeToString(sum[:])
	return archive, nil
}

// localModules returns the modules that a package is built from and that are on this machine only, and the file of the
// workspace that they are in; "" for none.
func localModules(ctx context.Context, dir string) (modules []*module, workspace string, err error) {
	out, err := goList(ctx, dir, "list", "-deps", "-json=Module", ".")
	if err != nil {
		return nil, "", err
	}
	byDir := map[string]*module{}
	vendored := false
	for decoder := json.NewDecoder(bytes.NewReader(out)); decoder.More(); {
		var p struct{ Module *module }
		if err := decoder.Decode(&p); err != nil {
			return nil, "", err
		}
		switch m := p.Module; {
		case m == nil: // of the standard library
		case m.Dir == "": // in the vendor directory, which is the main module's
			vendored = true
		case m.local():
			m.built = true
			byDir[m.Dir] = m
		}
	}
	if len(byDir) == 0 {
		return nil, "", exit.Errorf(exit.Usage, "%s is in no module, so it cannot be built elsewhere", dir).Hint("Make one: go mod init NAME")
	}
	work, err := goList(ctx, dir, "env", "GOWORK")
	if err != nil {
		return nil, "", err
	}
	if workspace = strings.TrimSpace(string(work)); workspace == "off" {
		workspace = ""
	}
	if vendored && workspace != "" {
		return nil, "", exit.Errorf(exit.Usage, "%s is built of what its workspace %s has vendored, and only a module can be packed with that", dir, workspace).
			Hint("Vendor in the module, and leave the workspace: export GOWORK=off; go mod vendor")
	}
	out = nil
	if !vendored { // else the go command reads nothing of the others
		if out, err = goList(ctx, dir, "list", "-m", "-json", "all"); err != nil {
			return nil, "", err
		}
	}
	for decoder := json.NewDecoder(bytes.NewReader(out)); decoder.More(); {
		m := new(module)
		if err := decoder.Decode(m); err != nil {
			return nil, "", err
		}
		if m.local() && byDir[m.Dir] == nil {
			byDir[m.Dir] = m
		}
	}
	modules = slices.SortedFunc(maps.Values(byDir), func(a, b *module) int { return strings.Compare(a.Dir, b.Dir) })
	return modules, workspace, nil
}

func goList(ctx context.Context, dir string, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir = dir
	out, err := command.Output()
	if signal := killedBy(err); signal != 0 && ctx.Err() == nil {
		return nil, exit.Errorf(exit.Usage, "%s was not packed: the go command was killed by signal %d (%s)", dir, int(signal), signal)
	}
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil, exit.Errorf(exit.Usage, "%s cannot be packed:\n%s", dir, bytes.TrimSpace(failed.Stderr))
	}
	if err != nil {
		return nil, exit.Errorf(exit.Usage, "cannot pack %s: %w", dir, err).Hint("Install Go.")
	}
	return out, nil
}

// commonParent is the deepest directory that all are in.
func commonParent(dirs []string) string {
	parent := dirs[0]
	for _, dir := range dirs[1:] {
		for parent != dir && !strings.HasPrefix(dir, strings.TrimSuffix(parent, string(filepath.Separator))+string(filepath.Separator)) {
			parent = filepath.Dir(parent)
		}
	}
	return parent
}

// goVersion is the newest that a module asks for.
func goVersion(modules []*module) (version string) {
	for _, m := range modules {
		if older(version, m.GoVersion) {
			version = m.GoVersion
		}
	}
	return version
}

// workspaceOf is the go.work of a directory as it is in the archive, where paths are others. It has all modules, of those
// that the plugin is not built from only what they require: else other versions might be chosen than here.
func workspaceOf(ctx context.Context, dir, top string, modules []*module, version string) (string, error) {
	text := "go " + version + "\n"
	for _, m := range modules {
		if m.Main {
			text += "use " + within(top, m.Dir) + "\n"
		}
	}
	out, err := goList(ctx, dir, "work", "edit", "-json")
	if err != nil {
		return "", err
	}
	type versioned struct{ Path, Version string }
	var work struct {
		Replace []struct{ Old, New versioned }
	}
	if err := json.Unmarshal(out, &work); err != nil {
		return "", err
	}
	for _, r := range work.Replace {
		if r.New.Version == "" { // a directory
			i := slices.IndexFunc(modules, func(m *module) bool { return m.Path == r.Old.Path })
			if i < 0 {
				continue // which nothing requires
			}
			r.New.Path = within(top, modules[i].Dir)
		}
		text += fmt.Sprintf("replace %s %s => %s %s\n", r.Old.Path, r.Old.Version, r.New.Path, r.New.Version)
	}
	return text, nil
}

// within is a directory as a go.work in another one names it.
func within(top, dir string) string {
	relative, err := filepath.Rel(top, dir)
	if err != nil { // one of them is below the other
		return dir
	}
	return strconv.Quote("./" + filepath.ToSlash(relative))
}

// addTree adds the files of a module; other modules below it are added by themselves, or not at all.
func addTree(writer *tar.Writer, size *bytes.Buffer, top, root string, written map[string]bool) error {
	return filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name != root && isIgnored(entry.Name()) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if entry.IsDir() {
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil && name != root {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() { // a link may lead out of the module
			return nil
		}
		return addFile(writer, size, top, name, written)
	})
}

// addFile adds a file under its path below top, once. A go.work is made anew.
func addFile(writer *tar.Writer, size *bytes.Buffer, top, name string, written map[string]bool) error {
	relative, err := filepath.Rel(top, name)
	if err != nil || written[relative] || relative == "go.work" || relative == "go.work.sum" {
		return err
	}
	written[relative] = true
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if int64(size.Len())+info.Size() > maxArchive {
		return exit.Errorf(exit.Usage, "the source of the plugin is more than %d MiB, with %s: %d bytes", maxArchive>>20, relative, info.Size()).
			Hint("Move data out of the module, or give an executable with --binary FILE.")
	}
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return add(writer, filepath.ToSlash(relative), content)
}

// add adds a file, whose only properties are its name and its content.
func add(writer *tar.Writer, name string, content []byte) error {
	if err := writer.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err := writer.Write(content)
	return err
}

// Unpack writes the files of an archive below a directory.
func Unpack(archive io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for reader := tar.NewReader(archive); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the source: %w", err)
		}
		if err := root.MkdirAll(path.Dir(header.Name), 0o755); err != nil {
			return err
		}
		file, err := root.Create(header.Name)
		if err != nil {
			return err
		}
		_, err = io.Copy(file, reader)
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
}
