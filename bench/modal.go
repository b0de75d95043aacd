package main

import (
	"bufio"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// modalBench measures against the stand-in for Modal, on this machine, and against Modal's own command line.
type modalBench struct {
	*bench
	cli string // Modal's command line
	standIn
}

// standIn is one that runs.
type standIn struct {
	process     *exec.Cmd
	state       string   // its directory
	environment []string // by which programs find it
}

// modal measures what goes to Modal and comes from there.
func (b *bench) modal() error {
	cli, err := filepath.Abs(cmp.Or(os.Getenv("MTT_MODAL"), ".venv/bin/modal"))
	if err != nil {
		return err
	}
	m := &modalBench{bench: b, cli: cli}
	m.machine.processor = cmp.Or(m.machine.processor, processor())
	version, err := m.output(m.cli, "--version")
	if err != nil {
		return err
	}
	m.machine.uses("Modal's " + strings.TrimSpace(version))
	for _, part := range []func() error{m.transfers, m.calls} {
		if err := part(); err != nil {
			return err
		}
	}
	return m.with(filepath.Join(b.scratch, "modal"), func() error {
		for _, part := range []func() error{m.sync, m.list, m.submit, m.recover} {
			if err := part(); err != nil {
				return err
			}
		}
		return nil
	})
}

// with does something while there is a stand-in, which begins with nothing in it.
func (m *modalBench) with(state string, do func() error) error {
	if err := m.start(state); err != nil {
		return err
	}
	err := do()
	_ = m.process.Process.Signal(syscall.SIGTERM)
	return errors.Join(err, m.process.Wait())
}

func (m *modalBench) start(state string) error {
	env := state + ".env"
	process := exec.Command(m.binary("modal-fake"), "--state", state, "--env-file", env, "--set", "trust-blocks=true")
	process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us, who end it
	process.Stderr = os.Stderr
	stdout, err := process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := process.Start(); err != nil {
		return err
	}
	_, err = bufio.NewReader(stdout).ReadString('\n') // its address, when it serves
	var raw []byte
	if err == nil {
		raw, err = os.ReadFile(env)
	}
	if err != nil {
		_ = process.Process.Signal(syscall.SIGTERM)
		return errors.Join(fmt.Errorf("modal-fake did not start: %w", err), process.Wait())
	}
	m.standIn = standIn{process, state, []string{"XDG_CACHE_HOME=" + state + ".cache", "MTT_BACKEND=modal"}}
	for line := range strings.Lines(string(raw)) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		m.environment = append(m.environment, name+"="+strings.Trim(value, "'"))
	}
	return nil
}

func (m *modalBench) output(name string, args ...string) (string, error) {
	_, printed, err := m.command(m.environment, name, args...)
	return string(printed), err
}

func (m *modalBench) host(args ...string) (string, error) {
	return m.output(m.binary("mtt-host"), args...)
}

// timed is how long a command takes, in seconds. What was written before is on the disk first, so that it takes nothing
// from the command.
func (m *modalBench) timed(name string, args ...string) (float64, error) {
	syscall.Sync()
	started := time.Now()
	_, err := m.output(name, args...)
	return time.Since(started).Seconds(), err
}

// sync measures what a second sync moves of a file that has grown.
func (m *modalBench) sync() error {
	if _, err := m.output(m.cli, "volume", "create", "logs", "--version", "2"); err != nil {
		return err
	}
	dir := filepath.Join(m.scratch, "grown")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file, to := filepath.Join(dir, "log"), filepath.Join(m.scratch, "synced")
	if err := random(file, 100<<20); err != nil {
		return err
	}
	var moved struct{ Bytes int64 }
	for _, grown := range []int64{0, 1 << 20} {
		if err := grow(file, grown); err != nil {
			return err
		}
		if _, err := m.host("volume", "put", "logs", file, "/log", "--force"); err != nil {
			return err
		}
		said, err := m.host("volume", "sync", "logs", "/", to, "-o", "json")
		if err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(said), &moved); err != nil {
			return fmt.Errorf("what volume sync printed: %w", err)
		}
	}
	m.add(row{
		what:   "moved by a second volume sync, after 1 MiB was appended to 100 MiB",
		figure: fmt.Sprintf("%.3f MiB", float64(moved.Bytes)/(1<<20)),
		wanted: "at most 1.1 MiB", reached: float64(moved.Bytes) <= 1.1*(1<<20),
	})
	return nil
}

func grow(path string, by int64) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = io.CopyN(file, rand.Reader, by)
	return errors.Join(err, file.Close())
}

// list measures mtt-host ls over many runs: those of a cluster, made of the records of one that was run.
func (m *modalBench) list() error {
	const runs = 1000
	said, err := m.host("run", m.binary("train"), "-S", "steps=1", "--volume", "many", "-o", "json", "--name", "run-0")
	if err != nil {
		return fmt.Errorf("%w: %s", err, said)
	}
	dir := filepath.Join(m.scratch, "many")
	if _, err := m.host("volume", "sync", "many", "/runs", dir); err != nil {
		return err
	}
	for i := 1; i < runs; i++ {
		name := fmt.Sprintf("run-%d", i)
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(dir, "run-0"))); err != nil {
			return err
		}
		spec := filepath.Join(dir, name, "run.json")
		raw, err := os.ReadFile(spec)
		if err == nil {
			err = os.WriteFile(spec, []byte(strings.ReplaceAll(string(raw), `"run-0"`, fmt.Sprintf("%q", name))), 0o644)
		}
		if err != nil {
			return err
		}
	}
	if _, err := m.host("volume", "put", "many", dir, "/runs", "--force"); err != nil {
		return err
	}
	first, err := m.timed(m.binary("mtt-host"), "ls", "--volume", "many", "-o", "json")
	if err != nil {
		return err
	}
	var times []float64
	for range m.pairs {
		started := time.Now()
		said, err := m.host("ls", "--volume", "many", "-o", "json")
		if err != nil {
			return err
		}
		times = append(times, time.Since(started).Seconds())
		var listed struct{ Items []json.RawMessage }
		if err := json.Unmarshal([]byte(said), &listed); err != nil || len(listed.Items) != runs {
			return fmt.Errorf("%d of %d runs are listed: %w", len(listed.Items), runs, err)
		}
	}
	m.add(row{what: "ls over 1,000 runs, for the first time on a machine", figure: fmt.Sprintf("%.2f s", first)})
	m.add(row{
		what:   "ls over 1,000 runs",
		figure: spread(times, "%.2f s"),
		wanted: "at most 1 s", reached: median(times) <= 1,
	})
	return nil
}

// submit compares the submission of a run with the mere start of Modal's command line.
func (m *modalBench) submit() error {
	begin := func() (string, error) {
		said, err := m.host("run", m.binary("train"), "-d", "--new", "-S", "steps=1")
		return strings.TrimSpace(said), err
	}
	first, err := begin() // so that everything is cached
	if err != nil {
		return err
	}
	if _, err := m.host("wait", first); err != nil {
		return err
	}
	measured, err := m.inTurn(m.pairs, "s to the run's name",
		func() (float64, error) {
			started := time.Now()
			id, err := begin()
			took := time.Since(started).Seconds()
			if err == nil {
				_, err = m.host("wait", id) // so that it takes nothing from the other
			}
			return took, err
		},
		func() (float64, error) { return m.timed(m.cli, "--version") })
	if err != nil {
		return err
	}
	ratio := each(measured[1], measured[0], quotient)
	m.add(row{
		what: "run -b modal -d, until the run's name", ours: fmt.Sprintf("%.0f ms", 1000*median(measured[0])),
		theirs: fmt.Sprintf("%.0f ms, modal --version", 1000*median(measured[1])),
		figure: spread(ratio, "%.1f") + " times as fast", wanted: "more than 1", reached: median(ratio) > 1,
	})
	return nil
}

// recover measures the time from a preemption to the next attempt's first step.
func (m *modalBench) recover() error {
	var times []float64
	for n := range m.pairs {
		name := fmt.Sprintf("preempted-%d", n)
		if _, err := m.host("run", m.binary("train"), "-d", "--name", name, "-S", "steps=1000000", "--checkpoint-every", "200ms", "--seed", fmt.Sprint(n)); err != nil {
			return err
		}
		if err := m.untilLogged(name, 1, "saved"); err != nil {
			return err
		}
		at := time.Now()
		if _, err := m.output(m.binary("modal-fake"), "preempt", "--state", m.state, "mtt-"+name); err != nil {
			return err
		}
		if err := m.untilLogged(name, 2, "saved"); err != nil { // a step, and a sync of the event file
			return err
		}
		if _, err := m.host("stop", name, "--now"); err != nil && !strings.Contains(err.Error(), "STOPPED") {
			return err
		}
		stepped, err := m.firstStep(name)
		if err != nil {
			return err
		}
		times = append(times, stepped-seconds(at))
		m.say("%.2f s from the preemption to the next attempt's first step", times[len(times)-1])
	}
	m.add(row{
		what:   "from a preemption to the next attempt's first step",
		figure: spread(times, "%.2f s"), wanted: "at most 5 s", reached: median(times) <= 5,
	})
	return nil
}

// untilLogged waits for an event of an attempt.
func (m *modalBench) untilLogged(name string, attempt int, kind string) error {
	command := exec.CommandContext(m.ctx, m.binary("mtt-host"), "logs", name, "-f", "-o", "json")
	command.Env = append(os.Environ(), m.environment...)
	stdout, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	defer func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	}()
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		var event struct {
			Attempt int
			Kind    string
		}
		if json.Unmarshal(lines.Bytes(), &event) == nil && event.Attempt == attempt && event.Kind == kind {
			return nil
		}
	}
	return fmt.Errorf("attempt %d of run %s has not logged that it %s", attempt, name, kind)
}

// firstStep is when the second attempt of a run did its first step, in seconds since 1970. What its event file repeats of
// the first attempt's has the older times.
func (m *modalBench) firstStep(name string) (float64, error) {
	to := filepath.Join(m.scratch, "preempted", name)
	if _, err := m.host("volume", "sync", "outputs", "/runs/"+name, to); err != nil {
		return 0, err
	}
	raw, err := os.ReadFile(filepath.Join(to, "attempts", "2", "claim.json"))
	if err != nil {
		return 0, err
	}
	var claim struct {
		Step int64 `json:"resumed_step"`
	}
	if err := json.Unmarshal(raw, &claim); err != nil {
		return 0, err
	}
	events, err := filepath.Glob(filepath.Join(to, "events.*.2"))
	if err != nil || len(events) != 1 {
		return 0, fmt.Errorf("%s has %d event files of the second attempt, want 1", to, len(events))
	}
	_, printed, err := m.python("times.py", events[0], "train/loss")
	if err != nil {
		return 0, err
	}
	var t trial
	if err := t.decode(printed); err != nil {
		return 0, err
	}
	i := slices.IndexFunc(t.stamps, func(s stamp) bool { return s.Step > claim.Step })
	if i < 0 {
		return 0, fmt.Errorf("the second attempt of run %s has no step behind step %d", name, claim.Step)
	}
	return t.stamps[i].Time, nil
}
