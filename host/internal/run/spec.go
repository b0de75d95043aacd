// Package run is the registry: what a run is, which attempts it has had, and what state it is in. All of it is read
// from the volume; there is no database, and no process is asked.
package run

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/exit"
)

// Spec is run.json: what a run is. It is written once, before the first attempt.
type Spec struct {
	Schema       string          `json:"schema"` // mtt.spec/v1
	RunID        string          `json:"run_id"`
	Experiment   string          `json:"experiment"`
	Version      string          `json:"experiment_version,omitempty"`
	Prefix       string          `json:"checkpoint_prefix"`
	Config       json.RawMessage `json:"config"` // canonical
	ConfigSHA256 string          `json:"config_sha256"`
	Seed         uint64          `json:"seed"`
	Plugin       Plugin          `json:"plugin"`
	Host         Host            `json:"host"`
	Created      time.Time       `json:"created"`
	Parent       string          `json:"parent,omitempty"`
	// ExactResume says that the experiment claims bit-exact resumes.
	ExactResume bool `json:"exact_resume"`
	// Devices are those that the plugin was built for; empty if it does not say.
	Devices []string `json:"devices,omitempty"`
	// Metrics are those that the plugin declares for its result, each with "max" or "min"; nil where that was not recorded.
	Metrics map[string]string `json:"metrics,omitempty"`
	Options Options           `json:"options"`
}

// Plugin is the code of a run. The digest alone is its identity; the rest is for people.
type Plugin struct {
	SHA256 string `json:"sha256"`
	Path   string `json:"path"`             // as it was given, absolute
	Commit string `json:"commit,omitempty"` // of the source, where it is in git
	Diff   string `json:"diff,omitempty"`   // uncommitted changes to it, cut at 64 KiB
	Needs  Needs  `json:"needs,omitzero"`
	// Former are the digests of the code that the run had before a person made it go on with other code.
	Former []string `json:"former,omitempty"`
}

// Needs is what an executable for Linux needs of the image that it runs in; of a static one, and where nobody looked, nothing.
type Needs struct {
	Interpreter string `json:"interpreter,omitempty"` // that loads its libraries
	Glibc       string `json:"glibc,omitempty"`       // the oldest version that will do, such as "2.34"
}

// Host is the mtt-host that made the run.
type Host struct {
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
}

// Options are mtt's own settings of a run. They do not belong to its identity: a resume may change them.
type Options struct {
	Device       string            `json:"device"` // as asked for, "auto" included
	Exact        bool              `json:"exact"`  // refuse to go on where a bit-exact resume cannot be claimed
	Cadence      Cadence           `json:"checkpoint_every"`
	Keep         int               `json:"keep"`
	Retries      int               `json:"retries"`
	Env          map[string]string `json:"env,omitempty"`
	PassedEnv    []string          `json:"passed_env,omitempty"` // names of variables whose values are in no record
	Stall        Duration          `json:"stall"`                // time without a sign of life after which the plugin has stalled; 0: any
	Mounts       map[string]string `json:"mounts,omitempty"`     // name to what holds the data: a directory, absolute; on Modal, a volume
	Timeout      Duration          `json:"timeout,omitempty"`    // time that all attempts together may live; 0: no limit
	StartTimeout Duration          `json:"start_timeout"`
	StopGrace    Duration          `json:"stop_grace"`
	Modal        *Modal            `json:"modal,omitempty"` // nil on this machine
}

// Identity is what a checkpoint must share with the run to be loaded.
func (s *Spec) Identity() checkpoint.Identity {
	return checkpoint.Identity{
		RunID:        s.RunID,
		Experiment:   s.Experiment,
		Prefix:       s.Prefix,
		Config:       s.Config,
		ConfigSHA256: s.ConfigSHA256,
		Seed:         s.Seed,
		PluginSHA256: s.Plugin.SHA256,
	}
}

// Same says whether two specs are of the same run but for its name: experiment, configuration, seed and code.
func (s *Spec) Same(other *Spec) bool {
	return s.Experiment == other.Experiment && s.Prefix == other.Prefix && s.ConfigSHA256 == other.ConfigSHA256 &&
		s.Seed == other.Seed && s.Plugin.SHA256 == other.Plugin.SHA256
}

// Names are also names of Sandboxes on Modal, as `mtt-<id>` and `mtt-<id>.s<n>`, which are shorter than 64 characters.
var idPattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,53}$`)

// CheckID refuses what cannot be the name of a run.
func CheckID(id string) error {
	if !idPattern.MatchString(id) {
		return exit.Errorf(exit.Usage, "%q cannot be the name of a run: 1 to 54 letters, digits, '.', '_' and '-', the first one a letter or digit", id)
	}
	return nil
}

// NewID makes an id that people can read and that no other run has.
func NewID(experiment string, now time.Time) string {
	return fmt.Sprintf("%.32s-%s-%s", experiment, now.UTC().Format("20060102"), strings.ToLower(rand.Text()[:6]))
}
