package plugin

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// packed makes a module with these files, and returns the archive of it with the names in it.
func packed(t *testing.T, files map[string]string) (*Archive, []string, error) {
	t.Helper()
	if files["go.work"] == "" {
		t.Setenv("GOWORK", "off")
	}
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	archive, err := Pack(t.Context(), filepath.Join(dir, "exp"))
	if err != nil {
		return nil, nil, err
	}
	var names []string
	for reader := tar.NewReader(bytes.NewReader(archive.Raw)); ; {
		header, err := reader.Next()
		if err == io.EOF {
			slices.Sort(names)
			return archive, names, nil
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
	}
}

var source = map[string]string{
	"exp/go.mod":              "module exp\ngo 1.26\nrequire lib v0.0.0\nrequire unused v0.0.0\nreplace lib => ../lib\nreplace unused => ../unused\n",
	"exp/main.go":             "package main\nimport _ \"lib\"\nfunc main() {}\n",
	"exp/data/table.csv":      "1,2\n",
	"exp/.gitignore":          "data\nmain.go\n",
	"exp/.git/config":         "secret",
	"exp/.env":                "TOKEN=secret",
	"exp/outputs/runs/x.json": "{}",
	"exp/other/go.mod":        "module other\n",
	"exp/other/other.go":      "package other\n",
	"lib/go.mod":              "module lib\n",
	"lib/lib.go":              "package lib\n",
	"lib/id_rsa":              "secret",
	"unused/go.mod":           "module unused\n",
	"unused/unused.go":        "package unused\n",
}

func TestPackHasWhatABuildNeedsAndNothingElse(t *testing.T) {
	archive, names, err := packed(t, source)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"exp/.gitignore", "exp/data/table.csv", "exp/go.mod", "exp/main.go", "lib/go.mod", "lib/lib.go", "unused/go.mod"}
	if !slices.Equal(names, want) {
		t.Errorf("the archive has %q, want %q", names, want)
	}
	if archive.Package != "exp" || archive.Go != "1.26" {
		t.Errorf("package %q, Go %q", archive.Package, archive.Go)
	}
	again, _, err := packed(t, source)
	if err != nil || again.SHA256 != archive.SHA256 {
		t.Errorf("the same source gives %s and then %s, %v", archive.SHA256, again.SHA256, err)
	}
}

func TestUnpackedSourceBuilds(t *testing.T) {
	archive, _, err := packed(t, source)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := Unpack(bytes.NewReader(archive.Raw), dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Install(t.Context(), Source{Path: filepath.Join(dir, archive.Package), Directory: true}, t.TempDir()); err != nil {
		t.Error(err)
	}
}

// In a workspace the versions are those that all its modules together require, so all of them have to be there.
func TestUnpackedWorkspaceChoosesTheSameVersions(t *testing.T) {
	files := maps.Clone(source)
	maps.Copy(files, map[string]string{
		"exp/go.mod":     "module exp\ngo 1.26\nrequire lib v0.0.0\n",
		"old/go.mod":     "module lib\n",
		"other/go.mod":   "module another\ngo 1.26.1\n",
		"other/other.go": "package another\n",
		"go.work":        "go 1.26.1\nuse ./exp\nuse ./other\nreplace lib v0.0.0 => ./lib\nreplace nosuch => ./nosuch\n",
	})
	delete(files, "exp/other/go.mod")
	archive, names, err := packed(t, files)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go.work", "exp/main.go", "lib/lib.go", "other/go.mod"} {
		if !slices.Contains(names, name) {
			t.Errorf("the archive lacks %s: %q", name, names)
		}
	}
	if slices.Contains(names, "other/other.go") || archive.Go != "1.26.1" {
		t.Errorf("the archive has %q, for Go %s", names, archive.Go)
	}
	dir := t.TempDir()
	if err := Unpack(bytes.NewReader(archive.Raw), dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Install(t.Context(), Source{Path: filepath.Join(dir, archive.Package), Directory: true}, t.TempDir()); err != nil {
		t.Error(err)
	}
}

func TestPackRefusesWhatIsNoSource(t *testing.T) {
	large := map[string]string{"exp/go.mod": "module exp\n", "exp/main.go": "package main\nfunc main() {}\n", "exp/weights.bin": strings.Repeat("x", maxArchive+1)}
	if _, _, err := packed(t, large); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "weights.bin") {
		t.Errorf("a large file: %v, want exit code 2 and its name", err)
	}
	if _, _, err := packed(t, map[string]string{"exp/main.go": "package main\n"}); exit.Of(err) != exit.Usage {
		t.Errorf("no module: %v, want exit code 2", err)
	}
}

// What is vendored is fetched from nowhere, so private modules can come this way.
func TestVendoredModulesArePacked(t *testing.T) {
	archive, names, err := packed(t, map[string]string{
		"exp/go.mod":             "module exp\ngo 1.26\nrequire example.com/private v1.0.0\nrequire lib v0.0.0\nreplace lib => ../lib\n",
		"exp/main.go":            "package main\nimport _ \"example.com/private/deep\"\nimport _ \"lib\"\nfunc main() {}\n",
		"exp/vendor/modules.txt": "# example.com/private v1.0.0\n## explicit; go 1.26\nexample.com/private/deep\n# lib v0.0.0 => ../lib\n## explicit; go 1.26\nlib\n# lib => ../lib\n",
		"exp/vendor/example.com/private/deep/it.go": "package deep\n",
		"exp/vendor/lib/lib.go":                     "package lib\n",
		"lib/go.mod":                                "module lib\ngo 1.26\n",
		"lib/lib.go":                                "package lib\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(names, path.Join(archive.Package, "vendor/example.com/private/deep/it.go")) {
		t.Errorf("the archive has %q", names)
	}
	dir := t.TempDir()
	if err := Unpack(bytes.NewReader(archive.Raw), dir); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOPROXY", "off")
	t.Setenv("GOFLAGS", "")
	if _, err := Install(t.Context(), Source{Path: filepath.Join(dir, archive.Package), Directory: true}, t.TempDir()); err != nil {
		t.Error(err)
	}
}

func TestPackRefusesWhatAWorkspaceHasVendored(t *testing.T) {
	workspace := map[string]string{
		"go.work": "go 1.26\nuse ./exp\n", "exp/go.mod": "module exp\ngo 1.26\nrequire example.com/private v1.0.0\n",
		"exp/main.go":                      "package main\nimport _ \"example.com/private\"\nfunc main() {}\n",
		"vendor/modules.txt":               "## workspace\n# example.com/private v1.0.0\n## explicit; go 1.26\nexample.com/private\n",
		"vendor/example.com/private/it.go": "package private\n",
	}
	if _, _, err := packed(t, workspace); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "has vendored") {
		t.Errorf("a vendored workspace: %v, want exit code 2", err)
	}
}
