package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// StopRequest is stop.json: somebody asked for the end of a live run.
type StopRequest struct {
	Schema string    `json:"schema"`       // mtt.stop/v1
	Now    bool      `json:"now"`          // without a checkpoint
	By     string    `json:"by,omitempty"` // USER@HOST that asked; not recorded by older hosts
	Code   exit.Code `json:"exit_code"`    // that the run then ends with
	// Followed says that the run has ended for it between two attempts, where no end.json could say so.
	Followed bool      `json:"followed,omitempty"`
	Time     time.Time `json:"time"`
}

// NewStopRequest is the request of this process's user.
func NewStopRequest(now bool) StopRequest {
	by, host := "uid "+strconv.Itoa(os.Getuid()), "an unknown host"
	if current, err := user.Current(); err == nil {
		by = current.Username
	}
	if name, err := os.Hostname(); err == nil {
		host = name
	}
	return StopRequest{Now: now, Code: exit.Stopped, By: by + "@" + host}
}

// Cause is what an attempt ends with that does what the request asks for.
func (s *StopRequest) Cause() error {
	command, by := "mtt-host stop", ""
	if s.Now {
		command += " --now"
	}
	if s.By != "" {
		by = " of " + s.By
	}
	return exit.Errorf(s.Code, "stopped by %s%s", command, by)
}

// Pending says that the request is one that somebody who lives the run has to see to. nil is none.
func (s *StopRequest) Pending() bool { return s != nil && !s.Followed }

// Same says that two requests are one. No request is the same as none.
func (s *StopRequest) Same(other *StopRequest) bool {
	return s != nil && other != nil && s.Time.Equal(other.Time)
}

func (r *Run) stopFile() string { return filepath.Join(r.Dir(), "stop.json") }

// AskToStop leaves the request for whoever lives the run. Anybody may, without the lock, and again.
func (r *Run) AskToStop(request StopRequest) error {
	request.Schema, request.Time = "mtt.stop/v1", time.Now().UTC()
	if err := r.registry.replace(r.stopFile(), request); err != nil {
		if exit.Of(err) == exit.Internal {
			err = exit.Errorf(exit.Usage, "%w", err)
		}
		return fmt.Errorf("cannot ask run %s to stop: %w", r.ID, err)
	}
	return r.RemindToStop(request)
}

// RemindToStop tells whoever lives the run, as far as he does not look for the request himself.
func (r *Run) RemindToStop(request StopRequest) error { return r.registry.records.asked(r, request) }

// StopRequest returns what was asked for; nil for nothing.
func (r *Run) StopRequest() (*StopRequest, error) {
	request := new(StopRequest)
	err := readJSON(r.stopFile(), request)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return request, err
}
