package plugin

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// On a machine that Modal's executables do not run on, another one is asked what the plugin is. It has to have what the one
// that is sent has: a GPU would be rented for a plugin that cannot use it.
func TestWhatIsAskedOfAPluginIsBuiltAsWhatIsSent(t *testing.T) {
	if out, _ := exec.Command("go", "env", "CGO_ENABLED").Output(); string(out) != "1\n" {
		t.Skip("no cgo here")
	}
	t.Setenv("GOWORK", "off")
	t.Setenv("GOFLAGS", "")
	const says = "package main\nfunc main() { print(cgo, tagged) }\n"
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod": "module m\n", "main.go": says,
		"cgo.go": "package main\nimport \"C\"\nconst cgo = \"cgo\"\n", "pure.go": "//go:build !cgo\npackage main\nconst cgo = \"pure\"\n",
		"tag.go": "//go:build noxla\npackage main\nconst tagged = \"+noxla\"\n", "other.go": "//go:build !noxla\npackage main\nconst tagged = \"\"\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	elsewhere := func(name string, env ...string) string {
		path := filepath.Join(t.TempDir(), name)
		command := exec.Command("go", "build", "-o", path, ".")
		command.Dir, command.Env = dir, append(os.Environ(), append([]string{"GOOS=linux", "GOARCH=amd64"}, env...)...)
		if said, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		return path
	}
	cases := []struct{ name, binary, says string }{
		{"built for Modal", "", "pure"},
		{"given, pure", elsewhere("pure", "CGO_ENABLED=0"), "pure"},
		{"given, pure, with a tag", elsewhere("tagged", "CGO_ENABLED=0", "GOFLAGS=-tags=noxla"), "pure+noxla"},
	}
	if runtime.GOOS == "linux" && runtime.GOARCH == "amd64" {
		cases = append(cases, struct{ name, binary, says string }{"given, with cgo", elsewhere("cgo", "CGO_ENABLED=1"), "cgo"})
	}
	for _, c := range cases {
		sent, asked, err := installForModal(t.Context(), Source{Path: dir, Directory: true}, c.binary, t.TempDir(), false)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if said, err := exec.Command(asked.Path).CombinedOutput(); err != nil || string(said) != c.says {
			t.Errorf("%s: what is asked says %q (%v), want %q", c.name, said, err, c.says)
		}
		if _, err := Inspect(sent.Path); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		info, err := buildinfo.ReadFile(sent.Path)
		if err != nil {
			t.Fatal(err)
		}
		for _, setting := range info.Settings {
			if setting.Key == "CGO_ENABLED" && setting.Value == "1" != (c.says == "cgo") {
				t.Errorf("%s: what is sent was built with CGO_ENABLED=%s", c.name, setting.Value)
			}
		}
	}
	if _, _, err := installForModal(t.Context(), Source{Path: elsewhere("alone", "CGO_ENABLED=0")}, "", t.TempDir(), false); err == nil {
		t.Error("an executable alone was taken, though it cannot be asked")
	}
}
