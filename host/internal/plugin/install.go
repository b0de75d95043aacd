package plugin

import (
	"context"
	"debug/buildinfo"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/mtt-project/mtt/host/internal/digest"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/limit"
	"github.com/mtt-project/mtt/host/internal/scratch"
)

// Executable is a plugin ready to run: a read-only file named by its own digest, so that what was checked is what
// runs, whatever happens to the source meanwhile.
type Executable struct {
	Path   string
	Name   string // as people know it: the path of what it was made from
	SHA256 string
}

// Installing is the directory below bin in which executables are made, for scratch.Sweep.
func Installing(bin string) string { return filepath.Join(bin, ".install") }

// Install builds the source if it is a directory, and puts the executable into the directory bin. One that is there
// already is neither copied nor written.
func Install(ctx context.Context, source Source, bin string) (Executable, error) {
	return install(ctx, source, bin, nil)
}

// InstallForModal is Install for a machine of Modal's, linux/amd64. binary, if it is not empty, is what was built for it
// elsewhere. asked is the executable that can be asked here what the plugin is: the same, where it runs here; and else a
// build of the same source in the same way, so that it says of its devices what the other would.
func InstallForModal(ctx context.Context, source Source, binary, bin string) (sent, asked Executable, err error) {
	return installForModal(ctx, source, binary, bin, runtime.GOOS == "linux" && runtime.GOARCH == "amd64")
}

func installForModal(ctx context.Context, source Source, binary, bin string, here bool) (sent, asked Executable, err error) {
	if !source.Directory && binary == "" {
		binary, source = source.Path, Source{}
	}
	if binary != "" {
		if _, err := Inspect(binary); err != nil {
			return sent, asked, err
		}
		if sent, err = take(binary, bin); err != nil || here {
			return sent, sent, err
		}
		if !source.Directory {
			return sent, asked, exit.Errorf(exit.Usage, "%s does not run on this machine, so it cannot be asked what it is", binary).
				Hint("Name the directory of its source as well: mtt-host run DIR --binary %s", binary)
		}
		asked, err = install(ctx, source, bin, asBuilt(binary))
		return sent, asked, err
	}
	if here {
		sent, err = Install(ctx, source, bin)
		return sent, sent, err
	}
	// Without a C compiler for Linux, which hardly any machine has: pure Go.
	pure := []string{"CGO_ENABLED=0"}
	if asked, err = install(ctx, source, bin, pure); err != nil {
		return sent, asked, err
	}
	sent, err = install(ctx, source, bin, append(pure, "GOOS=linux", "GOARCH=amd64"))
	return sent, asked, err
}

// asBuilt returns variables for the compiler that have it build with cgo and with tags as it has built an executable, which
// says so itself. Of one that does not, pure Go is all that is certain.
func asBuilt(path string) []string {
	cgo, tags := "0", ""
	if info, err := buildinfo.ReadFile(path); err == nil {
		for _, setting := range info.Settings {
			switch setting.Key {
			case "CGO_ENABLED":
				cgo = setting.Value
			case "-tags":
				tags = setting.Value
			}
		}
	}
	return []string{"CGO_ENABLED=" + cgo, "GOFLAGS=" + os.Getenv("GOFLAGS") + " -tags=" + tags}
}

// install is Install with more variables for the compiler.
func install(ctx context.Context, source Source, bin string, env []string) (Executable, error) {
	if !source.Directory {
		return take(source.Path, bin)
	}
	dir, err := scratch.Below(Installing(bin))
	if err != nil {
		return Executable{}, unwritable(err)
	}
	defer dir.Close()
	built := filepath.Join(dir.Path, "plugin")
	if err := build(ctx, source.Path, built, env); err != nil {
		return Executable{}, err
	}
	executable, err := named(source.Path, built, bin)
	if err != nil || executable.Verify() == nil {
		return executable, err
	}
	return executable, publish(built, executable.Path)
}

// InPlace is an executable where it is, for no longer than a look at it.
func InPlace(source Source) (Executable, error) {
	if err := checkExecutable(source.Path); err != nil {
		return Executable{}, err
	}
	sum, err := digest.File(source.Path)
	return Executable{Path: source.Path, Name: source.Path, SHA256: sum}, err
}

// take copies an executable that was built elsewhere.
func take(path, bin string) (Executable, error) {
	if err := checkExecutable(path); err != nil {
		return Executable{}, err
	}
	executable, err := named(path, path, bin)
	if err != nil || executable.Verify() == nil {
		return executable, err
	}
	dir, err := scratch.Below(Installing(bin))
	if err != nil {
		return Executable{}, unwritable(err)
	}
	defer dir.Close()
	copied := filepath.Join(dir.Path, "plugin")
	if err := copyFile(path, copied); err != nil {
		return Executable{}, err
	}
	if executable, err = named(path, copied, bin); err != nil { // of what was copied, should the file have changed meanwhile
		return Executable{}, err
	}
	return executable, publish(copied, executable.Path)
}

// named says where the executable at path, which was made from source, belongs.
func named(source, path, bin string) (Executable, error) {
	sum, err := digest.File(path)
	return Executable{Path: filepath.Join(bin, sum), Name: source, SHA256: sum}, err
}

// Verify hashes the executable once more, before it is run.
func (e Executable) Verify() error {
	sum, err := digest.File(e.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return exit.Errorf(exit.NotFound, "the run's plugin %s is gone: %w", e.Path, err).
			Hint("Bring the file back, or go on with other code: mtt-host resume RUN --plugin PLUGIN")
	}
	if err != nil {
		return err
	}
	if sum != e.SHA256 {
		return exit.Errorf(exit.Mismatch, "the run's plugin %s was changed: its SHA-256 is %s", e.Path, sum).
			Hint("Bring the file back, or go on with other code: mtt-host resume RUN --plugin PLUGIN")
	}
	return nil
}

func checkExecutable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return exit.Errorf(exit.NotFound, "cannot read the plugin: %w", err)
	}
	if info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
		return nil
	}
	refused := exit.Errorf(exit.Plugin, "%s is no plugin: it is not an executable file", path)
	if info.Mode().IsRegular() && isProgram(path) {
		return refused.Hint("Permit its execution, and repeat the command: chmod +x %s", exit.ShellText(path))
	}
	return refused.Hint("Name a directory with a Go main package, or an executable that was built from one.")
}

func copyFile(path, copied string) error {
	from, err := os.Open(path)
	if err != nil {
		return exit.Errorf(exit.NotFound, "cannot read the plugin: %w", err)
	}
	defer from.Close()
	to, err := os.Create(copied)
	if err != nil {
		return unwritable(err)
	}
	_, err = io.Copy(to, from)
	if err = errors.Join(err, to.Close()); err != nil {
		return unwritable(err)
	}
	return nil
}

// publish makes the file read-only and durable, and gives it its name.
func publish(temporary, path string) error {
	if err := os.Chmod(temporary, 0o555); err != nil {
		return unwritable(err)
	}
	file, err := os.Open(temporary)
	if err != nil {
		return unwritable(err)
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return unwritable(err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return unwritable(err)
	}
	bin, err := os.Open(filepath.Dir(path))
	if err != nil {
		return unwritable(err)
	}
	if err := errors.Join(bin.Sync(), bin.Close()); err != nil {
		return unwritable(err)
	}
	return nil
}

func unwritable(err error) error {
	if limited := limit.Explain(err); limited != nil {
		return limited
	}
	return exit.Errorf(exit.Usage, "outputs cannot be written: cannot keep the plugin: %w", err).
		Hint("Make room, or name another directory with --outputs DIR or MTT_OUTPUTS.")
}
