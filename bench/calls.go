package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	// watchedFor is how long calls are counted, and attaches how many commands watch the run meanwhile.
	watchedFor = time.Minute
	attaches   = 2
	// callsBefore is what 3bd0e1d made in the same minute, with the same stand-in, which counts for every client: measured once,
	// since that commit's programs are not built here.
	callsBefore = 646
)

// calls counts the calls of a run that trains, is supervised and is watched, while nothing but its steps and a checkpoint in
// half a minute comes.
func (m *modalBench) calls() error {
	return m.with(filepath.Join(m.scratch, "calls"), func() error {
		if _, err := m.host("run", m.binary("train"), "-d", "--name", "watched", "-S", "steps=1000000000"); err != nil {
			return err
		}
		if err := m.untilLogged("watched", 1, "saved"); err != nil {
			return err
		}
		for range attaches {
			watching := exec.CommandContext(m.ctx, m.binary("mtt-host"), "attach", "watched")
			watching.Env = append(os.Environ(), m.environment...)
			if err := watching.Start(); err != nil {
				return err
			}
			defer func() {
				_ = watching.Process.Kill()
				_ = watching.Wait()
			}()
		}
		m.sleep(watchedFor / 6) // so that they have begun
		before, err := m.counted()
		if err != nil {
			return err
		}
		m.sleep(watchedFor)
		after, err := m.counted()
		if err != nil {
			return err
		}
		m.add(row{
			what: "calls in 60 s, by the supervisor of a run and two `attach`es", ours: fmt.Sprint(after - before),
			theirs: fmt.Sprintf("%d, 3bd0e1d", callsBefore),
			figure: fmt.Sprintf("%.3f of them", float64(after-before)/callsBefore), wanted: "at most 0.1",
			reached: 10*(after-before) <= callsBefore,
		})
		_, err = m.host("stop", "watched", "--now")
		return err
	})
}

func (m *modalBench) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-m.ctx.Done():
	}
}

// counted is how many calls, and requests for blocks, the stand-in has had.
func (m *modalBench) counted() (all int, err error) {
	said, err := m.output(m.binary("modal-fake"), "calls", "--state", m.state)
	if err != nil {
		return 0, err
	}
	var calls map[string]struct{ All int }
	err = json.Unmarshal([]byte(said), &calls)
	for _, call := range calls {
		all += call.All
	}
	return all, err
}
