package run

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/regular"
)

// recordVersion is the version of each kind of record that this mtt-host writes, and the newest that it understands. New
// optional fields are no new version: one is made where a host that does not know it would go on wrongly.
const recordVersion = 1

// newerSchema returns the schema of a record that a newer mtt-host has written; "" for one that this one understands.
func newerSchema(raw []byte) string {
	var head struct {
		Schema string `json:"schema"`
	}
	if json.Unmarshal(raw, &head) != nil || !isNewer(head.Schema) {
		return ""
	}
	return head.Schema
}

// isNewer says whether a schema, such as mtt.spec/v1, is one that this mtt-host does not understand.
func isNewer(schema string) bool {
	_, version, _ := strings.Cut(schema, "/v")
	n, err := strconv.Atoi(version)
	return err == nil && n > recordVersion
}

// newerError says that a record is of a newer mtt-host.
func newerError(path, schema string) error {
	kind, _, _ := strings.Cut(schema, "/")
	return exit.Errorf(exit.Mismatch, "%s is a record of a newer mtt-host: it is %s, and this one understands %s/v%d", path, schema, kind, recordVersion).
		Hint("Use the mtt-host that wrote it, or a newer one: mtt-host version")
}

// newer says which record of the run is one of a newer mtt-host, which may have recorded what this one would not see; nil for
// none. Of the attempts only the newest is looked at: what a newer host has done comes last.
func (r *Run) newer() error {
	paths := []string{r.specFile(), r.resultFile()}
	if numbers, err := numbered(r.attemptsDir()); err == nil && len(numbers) > 0 {
		files, _ := filepath.Glob(filepath.Join(r.attemptDir(numbers[len(numbers)-1]), "*.json"))
		paths = append(paths, files...)
	}
	for _, path := range paths {
		raw, err := regular.ReadFile(path)
		if err != nil {
			continue // the caller that needs it says so
		}
		if schema := newerSchema(raw); schema != "" {
			return newerError(path, schema)
		}
	}
	return nil
}

// NewerWarning is what a command says of it that only reads the run; "" for nothing.
func (r *Run) NewerWarning() string {
	if err := r.newer(); err != nil {
		return fmt.Sprintf("%v; what is said of the run may be wrong", err)
	}
	return ""
}
