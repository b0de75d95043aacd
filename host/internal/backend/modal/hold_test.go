package modal

import (
	"errors"
	"path/filepath"
	"testing"
	"time"
)

// A holder that waits for Modal gives signs, and is waited for; one that is stopped gives none.
func TestALockIsWaitedForWhileItsHolderGivesSigns(t *testing.T) {
	t.Parallel()
	const patience = time.Second
	for name, c := range map[string]struct {
		signs time.Duration
		want  error
	}{"signs": {10 * time.Millisecond, nil}, "none": {time.Hour, errHeld}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lock := filepath.Join(t.TempDir(), "lock")
			release, err := hold(t.Context(), lock, patience, c.signs)
			if err != nil {
				t.Fatal(err)
			}
			waited := make(chan error, 1)
			go func() {
				release, err := hold(t.Context(), lock, patience, c.signs)
				if err == nil {
					release()
				}
				waited <- err
			}()
			select {
			case err = <-waited:
			case <-time.After(3 * patience):
				release()
				err = <-waited
			}
			if !errors.Is(err, c.want) {
				t.Errorf("the other has waited, and got %v; want %v", err, c.want)
			}
		})
	}
}
