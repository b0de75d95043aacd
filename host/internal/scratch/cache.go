package scratch

import (
	"os"
	"path/filepath"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// Cache makes the directory of that name in mtt's part of the user's cache, for what can be fetched or made again. Unlike
// the others it has no owner, and is not swept. exit.Usage.
func Cache(name string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", exit.Errorf(exit.Usage, "there is no cache directory: %w", err).
			Hint("Set HOME, or XDG_CACHE_HOME, to a directory that can be written.")
	}
	path := filepath.Join(cache, "mtt", name)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", exit.Errorf(exit.Usage, "the cache directory cannot be made: %w", err).
			Hint("Set HOME, or XDG_CACHE_HOME, to a directory that can be written.")
	}
	return path, nil
}
