package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

const (
	// scalarsTags is how many tags plugins/trials/scalars logs in each step.
	scalarsTags = 20
	// manySteps of them make a million points.
	manySteps = 50_000
	// manyKills come evenly over these steps, each two steps behind a checkpoint.
	manyKills = 20
	// killedCode is what mtt-host exits with when its plugin has been killed.
	killedCode = 75
)

// curves measures what the curves of a run cost when it is killed and resumed.
func (b *bench) curves() error {
	b.machine.processor = processor()
	_, version, err := b.command(nil, b.binary("mtt-host"), "version")
	if err != nil {
		return err
	}
	b.machine.uses(string(bytes.TrimSpace(version)))
	return errors.Join(b.eventFiles(), b.resumes())
}

// eventFiles compares the bytes of the event files of a run that is killed often with those of one that is left alone.
func (b *bench) eventFiles() error {
	size := func(name string, kills int) (float64, error) {
		for range kills {
			if err := b.scalars(killedCode, name, manySteps, manySteps/(manyKills+1), kills); err != nil {
				return 0, err
			}
		}
		if err := b.scalars(0, name, manySteps, manySteps/(manyKills+1), kills); err != nil {
			return 0, err
		}
		return sizeOf(b.eventsOf(name))
	}
	alone, err := size("alone", 0)
	if err != nil {
		return err
	}
	killed, err := size("killed", manyKills)
	if err != nil {
		return err
	}
	b.add(row{
		what:   fmt.Sprintf("event files of a million points, after %d kills", manyKills),
		ours:   fmt.Sprintf("%.1f MB", killed/1e6),
		theirs: fmt.Sprintf("%.1f MB, the run left alone", alone/1e6),
		figure: fmt.Sprintf("%.3f times the bytes", killed/alone),
		wanted: "at most 1.2", reached: killed <= 1.2*alone,
	})
	return nil
}

// resumes compares the time from `resume` to the first step with a million points before the checkpoint and with few.
func (b *bench) resumes() error {
	for name, steps := range map[string]int{"many": manySteps, "few": 10} {
		if err := b.scalars(killedCode, name, 2*manySteps, steps, 1); err != nil {
			return err
		}
	}
	measured, err := b.inTurn(3*b.pairs, "s to the first step",
		func() (float64, error) { return b.firstStep("many") },
		func() (float64, error) { return b.firstStep("few") })
	if err != nil {
		return err
	}
	many, few := measured[0], measured[1]
	more := each(many, few, func(a, b float64) float64 { return 1000 * difference(a, b) })
	b.add(row{
		what:   "from resume to the first step, with a million points before the checkpoint",
		ours:   fmt.Sprintf("%.0f ms", 1000*median(many)),
		theirs: fmt.Sprintf("%.0f ms, with 200", 1000*median(few)),
		figure: spread(more, "%.0f ms") + " more",
		wanted: "at most 50 ms", reached: median(more) <= 50,
	})
	return nil
}

// scalars runs an attempt of a run of plugins/trials/scalars, which kills itself if it is one of the first so many.
func (b *bench) scalars(code int, name string, steps, every, kills int) error {
	return b.exits(code, "run", b.binary("scalars"), "--name", name, "-S", fmt.Sprint("steps=", steps), "-S", fmt.Sprint("tags=", scalarsTags),
		"--checkpoint-every", fmt.Sprint(every), "--env-var", fmt.Sprint("KILLS=", kills), "--env-var", fmt.Sprint("KILL_AFTER=", every+2))
}

// firstStep resumes a run for one step, of which nothing is kept, and returns how long that step took to come.
func (b *bench) firstStep(name string) (float64, error) {
	started := time.Now()
	if err := b.exits(killedCode, "resume", name, "--env-var", "KILLS=1000000", "--env-var", "KILL_AFTER=1"); err != nil {
		return 0, err
	}
	events := b.eventsOf(name)
	_, printed, err := b.python("times.py", events[len(events)-1], "train/scalar-000")
	if err != nil {
		return 0, err
	}
	var t trial
	if err := t.decode(printed); err != nil {
		return 0, err
	}
	if len(t.stamps) != 1 {
		return 0, fmt.Errorf("%s has %d steps, want 1", events[len(events)-1], len(t.stamps))
	}
	return t.stamps[0].Time - seconds(started), nil
}

// exits runs mtt-host and wants this exit code.
func (b *bench) exits(code int, args ...string) error {
	command := exec.CommandContext(b.ctx, b.binary("mtt-host"), args...)
	command.Env = append(os.Environ(), "MTT_OUTPUTS="+b.curvesOutputs())
	said, err := command.CombinedOutput()
	if got := command.ProcessState.ExitCode(); got != code {
		return fmt.Errorf("mtt-host %v: exit code %d, want %d: %w\n%s", args, got, code, err, said)
	}
	return nil
}

func (b *bench) curvesOutputs() string { return filepath.Join(b.scratch, "curves") }

// eventsOf returns the event files of a run, the oldest first.
func (b *bench) eventsOf(name string) []string {
	files, _ := filepath.Glob(filepath.Join(b.curvesOutputs(), "runs", name, "events.*"))
	slices.Sort(files)
	return files
}

func sizeOf(files []string) (bytes float64, err error) {
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return 0, err
		}
		bytes += float64(info.Size())
	}
	return bytes, nil
}
