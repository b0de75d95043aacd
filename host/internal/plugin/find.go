// Package plugin finds, builds, starts and ends experiment plugins. It is the only importer of go-plugin in the host.
package plugin

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// Source is where a plugin comes from: a directory with a Go main package, or an executable.
type Source struct {
	Path      string // absolute
	Directory bool
}

// Find resolves what a person names: a path, or the bare name of a plugin in plugins/ or bin/plugins/.
func Find(name string) (Source, error) {
	candidates := []string{name}
	if !strings.ContainsRune(name, filepath.Separator) {
		candidates = []string{filepath.Join("plugins", name), filepath.Join("bin", "plugins", name), name}
	}
	for _, candidate := range candidates {
		info, err := os.Stat(candidate)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Source{}, exit.Errorf(exit.NotFound, "plugin %s: %w", name, err)
		}
		path, err := filepath.Abs(candidate)
		return Source{Path: path, Directory: info.IsDir()}, err
	}
	return Source{}, exit.Errorf(exit.NotFound, "no plugin %s: there is no %s", name, strings.Join(candidates, ", no ")).
		Hint("Name a directory with a Go main package, or an executable that was built from one.")
}
