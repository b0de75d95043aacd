package cli

import (
	"fmt"
	"sync"
	"time"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/transfer"
)

// redrawEvery is how often a line of progress changes: as often as it can be read.
const redrawEvery = 200 * time.Millisecond

// showProgress keeps a line about a transfer on the terminal, if there is one, until stop is called.
func showProgress(v *view, t *transfer.Transfer) (stop func()) {
	if v.terminal < 0 {
		return v.end
	}
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		ticks := time.NewTicker(redrawEvery)
		defer ticks.Stop()
		for began := time.Now(); ; {
			select {
			case <-done:
				return
			case now := <-ticks.C:
				files, bytes, unchanged := t.Moved()
				rate := float64(bytes) / now.Sub(began).Seconds()
				v.mu.Lock()
				v.redraw(fmt.Sprintf("%s, %s, %s/s; %d unchanged", filesText(files), backend.SizeText(bytes), backend.SizeText(int64(rate)), unchanged))
				v.mu.Unlock()
			}
		}
	})
	return func() {
		close(done)
		ended.Wait()
		v.end()
	}
}
