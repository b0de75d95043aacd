package tensorboard

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

// newName names the event file of an attempt: behind the name of every file that exists, whatever the clock says and
// whatever wrote those files, since readers take files in the order of their names, as text.
func newName(dir string, attempt int, now time.Time) (string, error) {
	names, err := files(dir)
	if err != nil {
		return "", err
	}
	at := fmt.Sprintf("%010d", max(0, now.Unix()))
	if len(names) > 0 {
		last, _, _ := strings.Cut(strings.TrimPrefix(names[len(names)-1], filePrefix), ".")
		if at <= last {
			at = behind(last)
		}
	}
	host, err := os.Hostname()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s%s.%s.%d.%d", filePrefix, at, filepath.Base(host), os.Getpid(), attempt), nil
}

// behind returns a text of which every continuation sorts behind every continuation of text by a '.': its last number
// plus 1 if that has as many digits, else one digit more, since digits sort behind '.'.
func behind(text string) string {
	nines := strings.TrimRight(text, "9")
	if end := len(nines) - 1; end >= 0 && nines[end] >= '0' && nines[end] < '9' {
		return nines[:end] + string(nines[end]+1) + strings.Repeat("0", len(text)-len(nines))
	}
	return text + "0"
}
