package modal

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/mtt-project/mtt/host/internal/backend/partial"
)

const (
	// lockTime is how long the lock of a run's records is waited for while its holder gives no sign: far longer than one needs
	// to give one that is not stopped.
	lockTime = 30 * time.Second
	// signEvery is how often a holder gives a sign: it may wait for Modal, however long that takes.
	signEvery = 5 * time.Second
)

// errHeld says that a lock was waited for in vain.
var errHeld = errors.New("another command has been writing what is kept of the run on this machine, and has not come to an end")

// hold locks the file of that name until release, and gives signs meanwhile. errHeld: the holder has given none for as long
// as patience says; 0 waits for any time.
func hold(ctx context.Context, name string, patience, signs time.Duration) (release func(), err error) {
	var lastSign, giveUp time.Time
	for {
		locked, sign, err := tryHold(name)
		if locked != nil {
			giveSigns(locked, signs)
			return func() { locked.Close() }, nil
		}
		if err != nil {
			return nil, err
		}
		if !sign.Equal(lastSign) {
			lastSign, giveUp = sign, time.Now().Add(patience)
		}
		if patience > 0 && time.Now().After(giveUp) {
			return nil, errHeld
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// tryHold locks a file; without it and an error, another process has it, and gave a sign then.
func tryHold(name string) (locked *os.File, sign time.Time, err error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, sign, err
	}
	err = partial.Lock(file)
	ours, statErr := file.Stat()
	if statErr != nil || err != nil && !errors.Is(err, partial.ErrBusy) {
		return nil, sign, errors.Join(err, statErr, file.Close())
	}
	// Whoever had the lock before may have removed it, with the run.
	if now, statErr := os.Stat(name); err == nil && statErr == nil && os.SameFile(ours, now) {
		return file, sign, nil
	}
	return nil, ours.ModTime(), file.Close()
}

// giveSigns changes the time of a locked file every now and then until it is closed.
func giveSigns(locked *os.File, every time.Duration) {
	time.AfterFunc(every, func() {
		if _, err := locked.WriteAt([]byte{'\n'}, 0); err == nil {
			giveSigns(locked, every)
		}
	})
}
