package tensorboard

import (
	"os"
	"os/exec"
	"path/filepath"
)

// Find returns the path of the real TensorBoard: MTT_TENSORBOARD, the one on PATH, or that of a virtual environment in
// the current directory.
func Find() (path string, ok bool) {
	for _, candidate := range []string{os.Getenv("MTT_TENSORBOARD"), "tensorboard", filepath.Join(".venv", "bin", "tensorboard")} {
		if candidate == "" {
			continue
		}
		if path, err := exec.LookPath(candidate); err == nil {
			return path, true
		}
	}
	return "", false
}
