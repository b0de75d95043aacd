package modalfake

import (
	"errors"
	"fmt"
	"syscall"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mtt-project/mtt/host/internal/modalfake/faults"
	"github.com/mtt-project/mtt/host/internal/modalfake/sandbox"
	"github.com/mtt-project/mtt/host/internal/modalfake/volume"
)

// synced is called when a process syncs a mount point. Only for version 2 does that mean anything.
func (r *running) synced(m sandbox.Mount) error {
	for _, v := range r.volumes {
		if v.path != m.Path {
			continue
		}
		if v.version != 2 {
			return nil
		}
		err := r.commit(v)
		r.server.log.Info("synced", "sandbox", r.id, "mount", v.path, "error", err)
		if status.Code(err) == codes.ResourceExhausted {
			return fmt.Errorf("%w: %w", syscall.ENOSPC, err)
		}
		return err
	}
	return nil
}

// commit brings what changed in a working copy into the volume.
func (r *running) commit(v *mounted) error {
	if v.readOnly {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.gone {
		return errors.New("the Sandbox has ended")
	}
	change, err := v.copy.Scan()
	if err != nil {
		return err
	}
	err = r.server.changeVolume(v.id, func(tree volume.Tree) (volume.Tree, error) { return change.Apply(tree), nil })
	if err == nil {
		v.copy.Committed(change)
	}
	return err
}

// endCommits waits for a commit that the process, which has ended, had begun: it must not take the removal of the
// directory for the Sandbox's own.
func (r *running) endCommits() {
	for _, v := range r.volumes {
		v.mu.Lock()
		v.gone = true
		v.mu.Unlock()
	}
}

// commitAll is a commit in the background: of both versions, as Modal's documentation has it.
func (r *running) commitAll() {
	for _, v := range r.volumes {
		if err := r.commit(v); err != nil {
			r.server.log.Warn("a commit failed", "sandbox", r.id, "mount", v.path, "error", err)
		}
	}
}

// commitAtEnd is what an orderly end commits. Version 1 has no other way to the volume.
func (r *running) commitAtEnd() {
	onSync := r.server.dice.Now().Commit == faults.CommitOnSync && r.server.starter.SeesSyncs()
	var errs []error
	for _, v := range r.volumes {
		if v.version == 1 || !onSync {
			errs = append(errs, r.commit(v))
		}
	}
	if err := errors.Join(errs...); err != nil {
		r.server.log.Warn("the last commit failed", "sandbox", r.id, "error", err)
	}
}

// tear commits a part of what is not committed: a machine that is taken away may be in the middle of a commit in the
// background, of which nothing says in what order it goes.
func (r *running) tear() {
	for _, v := range r.volumes {
		if v.readOnly {
			continue
		}
		v.mu.Lock()
		change, err := v.copy.Scan()
		v.mu.Unlock()
		if err == nil {
			change = change.Tear(r.server.dice.Half)
			err = r.server.changeVolume(v.id, func(tree volume.Tree) (volume.Tree, error) { return change.Apply(tree), nil })
		}
		if err != nil {
			r.server.log.Warn("a torn commit failed", "sandbox", r.id, "mount", v.path, "error", err)
		}
	}
}
