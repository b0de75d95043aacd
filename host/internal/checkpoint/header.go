package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// Identity says what a checkpoint belongs to. It is the same in every checkpoint of a run, and Guard compares it
// before one is loaded.
type Identity struct {
	RunID      string `json:"run_id"`
	Experiment string `json:"experiment"`
	// Prefix is the experiment's own and begins the id of each of its checkpoints.
	Prefix string `json:"prefix"`
	// Config is the whole configuration in its canonical form: a JSON object without spaces between tokens.
	Config json.RawMessage `json:"config"`
	// ConfigSHA256 is the hex digest of Config.
	ConfigSHA256 string `json:"config_sha256"`
	Seed         uint64 `json:"seed"`
	// PluginSHA256 is the hex digest of the plugin's executable.
	PluginSHA256 string `json:"plugin_sha256"`
}

// Reason says why a checkpoint was made.
type Reason string

const (
	// Periodic: the cadence asked for it.
	Periodic Reason = "periodic"
	// Stop: the attempt was asked to stop.
	Stop Reason = "stop"
	// Final: training is complete, and a run that has it needs no further step.
	Final Reason = "final"
	// Manual: the experiment wanted one.
	Manual Reason = "manual"
)

// Header is what is known when a save begins.
type Header struct {
	Identity
	// Step counts the finished steps in this state.
	Step uint64 `json:"step"`
	// Attempt that writes the checkpoint, from 1.
	Attempt int `json:"attempt"`
	// Parent is the checkpoint that this attempt saved before, or resumed from; "" for the first of a run.
	Parent string `json:"parent"`
	Reason Reason `json:"reason"`
	// Result is the run's result; only a Final checkpoint has one.
	Result Metrics `json:"result,omitempty"`
	// ElapsedSeconds is how long the attempt had run when the save began; 0 where that was not recorded.
	ElapsedSeconds float64 `json:"elapsed_seconds,omitempty"`
	// SizeHint is the size of all blobs together in bytes, for the check of free space; 0: not known.
	SizeHint uint64 `json:"-"`
}

// History is what the run had logged when the state was taken. It is known by the time of Commit only, because the
// points that belong to a checkpoint may still be on their way when the save begins.
type History struct {
	// Metrics are the latest values of the run's scalars.
	Metrics Metrics `json:"metrics"`
	Events  Events  `json:"events"`
}

// Events is what the event files hold of a checkpoint's history.
type Events struct {
	Place
	// LastSteps is the largest step of each tag up to the place, or a larger one. Absent in a manifest of version 1.
	LastSteps map[string]int64 `json:"last_steps,omitempty"`
}

// Place is where the curves of a checkpoint end: they are what the event files of its history show up to there.
type Place struct {
	// Attempt is the one whose event file this is. 0 in a manifest of version 1: then the file alone holds all of them.
	Attempt int `json:"attempt,omitempty"`
	// File is the file's name in the run's directory; "" if nothing was logged.
	File string `json:"file"`
	// Bytes from the beginning of the file, ending with a whole record.
	Bytes uint64 `json:"bytes"`
	// CRC32C (Castagnoli) of these bytes. Absent in a manifest of version 1.
	CRC32C uint32 `json:"crc32c,omitempty"`
}

// Validate says what keeps h from being saved.
func (h Header) Validate() error {
	if err := h.Identity.validate(); err != nil {
		return err
	}
	if h.Attempt < 1 {
		return fmt.Errorf("attempt %d: attempts are numbered from 1", h.Attempt)
	}
	if h.Parent != "" {
		if _, err := ParseID(h.Parent); err != nil {
			return fmt.Errorf("parent: %w", err)
		}
	}
	if h.Reason == "" {
		return errors.New("the reason is missing")
	}
	if h.Result != nil && h.Reason != Final {
		return fmt.Errorf("a checkpoint with reason %q has a result, which only one with reason %q may have", h.Reason, Final)
	}
	return nil
}

func (i Identity) validate() error {
	if i.RunID == "" || i.Experiment == "" || i.PluginSHA256 == "" {
		return errors.New("run_id, experiment and plugin_sha256 must not be empty")
	}
	if err := checkPrefix(i.Prefix); err != nil {
		return err
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, i.Config); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if !bytes.Equal(compact.Bytes(), i.Config) || i.Config[0] != '{' {
		return errors.New("config is not a JSON object in canonical form")
	}
	if sum := sha256.Sum256(i.Config); hex.EncodeToString(sum[:]) != i.ConfigSHA256 {
		return fmt.Errorf("config_sha256 is %q, but the config's is %x", i.ConfigSHA256, sum)
	}
	return nil
}
