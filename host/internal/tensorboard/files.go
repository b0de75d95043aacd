package tensorboard

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const filePrefix = "events.out.tfevents."

// files returns the names of the event files in a run's directory, in the order in which TensorBoard reads them.
func files(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), filePrefix) {
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// newName names the event file of an attempt: with a time later than that of every file that is there, whatever the
// clock says, since readers take files in the order of their names.
func newName(dir string, attempt int, now time.Time) (string, error) {
	names, err := files(dir)
	if err != nil {
		return "", err
	}
	seconds := now.Unix()
	for _, name := range names {
		digits, _, _ := strings.Cut(strings.TrimPrefix(name, filePrefix), ".")
		if earlier, err := strconv.ParseInt(digits, 10, 64); err == nil {
			seconds = max(seconds, earlier+1)
		}
	}
	host, err := os.Hostname()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s%010d.%s.%d.%d", filePrefix, seconds, filepath.Base(host), os.Getpid(), attempt), nil
}
