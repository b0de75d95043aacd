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
	fake        *exec.Cmd
	state       string
	environment []string
	cli         string // Modal's command line
}

// modal measures what goes to Modal and comes from there.
func (b *bench) modal() error {
	m := &modalBench{bench: b, state: filepath.Join(b.scratch, "modal"), cli: cmp.Or(os.Getenv("MTT_MODAL"), ".venv/bin/modal")}
	if err := m.open(); err != nil {
		return err
	}
	err := m.measure()
	return errors.Join(err, m.close())
}

func (m *modalBench) measure() error {
	for _, part := range []func() error{m.transfers, m.sync, m.list, m.submit, m.recover} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// open starts the stand-in.
func (m *modalBench) open() error {
	cli, err := filepath.Abs(m.cli)
	if err != nil {
		return err
	}
	m.cli = cli
	env := m.state + ".env"
	m.fake = exec.Command(m.binary("modal-fake"), "--state", m.state, "--env-file", env)
	m.fake.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us, who end it
	m.fake.Stderr = os.Stderr
	stdout, err := m.fake.StdoutPipe()
	if err != nil {
		return err
	}
	if err := m.fake.Start(); err != nil {
		return err
	}
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil { // its address, when it serves
		return errors.Join(fmt.Errorf("modal-fake did not start: %w", err), m.close())
	}
	raw, err := os.ReadFile(env)
	if err != nil {
		return errors.Join(err, m.close())
	}
	for line := range strings.Lines(string(raw)) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		m.environment = append(m.environment, name+"="+strings.Trim(value, "'"))
	}
	m.environment = append(m.environment, "XDG_CACHE_HOME="+filepath.Join(m.scratch, "cache"), "MTT_BACKEND=modal")
	if m.machine.processor == "" {
		m.machine.processor = processor()
	}
	version, err := m.output(m.cli, "--version")
	if err != nil {
		return errors.Join(err, m.close())
	}
	m.machine.uses("Modal's " + strings.TrimSpace(version))
	return nil
}

func (m *modalBench) close() error {
	_ = m.fake.Process.Signal(syscall.SIGTERM)
	return m.fake.Wait()
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

// transfers compares the copying of files with that of Modal's command line.
func (m *modalBench) transfers() error {
	if _, err := m.output(m.cli, "volume", "create", "transfers", "--version", "2"); err != nil {
		return err
	}
	const size, many = 512 << 20, 2000
	for _, c := range []struct {
		what  string
		files func(dir string) error
	}{
		{"2,000 files of 2 to 20 KiB", func(dir string) error {
			for i := range many {
				if err := random(filepath.Join(dir, fmt.Sprint(i)), int64(2<<10+i%19<<10)); err != nil {
					return err
				}
			}
			return nil
		}},
		{"one file of 512 MiB", func(dir string) error { return random(filepath.Join(dir, "file"), size) }},
	} {
		// Blocks that a volume has do not travel, so that each transfer needs content of its own.
		n := 0
		fresh := func() (string, error) {
			n++
			dir := filepath.Join(m.scratch, "files", fmt.Sprint(n))
			return dir, errors.Join(os.MkdirAll(dir, 0o755), c.files(dir))
		}
		var put []string // what each program put last
		program := func(name string) func() (float64, error) {
			return func() (float64, error) {
				dir, err := fresh()
				if err != nil {
					return 0, err
				}
				remote := fmt.Sprintf("%s-%d", filepath.Base(name), n)
				put = append(put, remote)
				return m.timed(name, "volume", "put", "transfers", dir, "/"+remote)
			}
		}
		if err := m.compare("volume put of "+c.what, program(m.binary("mtt-host")), program(m.cli)); err != nil {
			return err
		}
		source := put[len(put)-1]
		fetched := filepath.Join(m.scratch, "fetched")
		fetch := func(name string) func() (float64, error) {
			return func() (float64, error) {
				// Nothing is removed meanwhile: ext4 is slow to make files where some have just been.
				n++
				to := filepath.Join(fetched, fmt.Sprint(n))
				if err := os.MkdirAll(to, 0o755); err != nil {
					return 0, err
				}
				return m.timed(name, "volume", "get", "transfers", "/"+source, to)
			}
		}
		if err := m.compare("volume get of "+c.what, fetch(m.binary("mtt-host")), fetch(m.cli)); err != nil {
			return err
		}
		if err := os.RemoveAll(fetched); err != nil {
			return err
		}
		for _, remote := range put {
			if _, err := m.output(m.cli, "volume", "rm", "-r", "transfers", "/"+remote); err != nil {
				return err
			}
		}
	}
	return nil
}

// compare runs two programs in turn, of which ours is to be three times as fast.
func (m *modalBench) compare(what string, ours, theirs func() (float64, error)) error {
	measured, err := m.inTurn(3, "s for "+what, ours, theirs)
	if err != nil {
		return err
	}
	ratio := each(measured[1], measured[0], quotient)
	m.add(row{
		what: what, ours: fmt.Sprintf("%.2f s", median(measured[0])), theirs: fmt.Sprintf("%.2f s, Modal's command line", median(measured[1])),
		figure: spread(ratio, "%.1f") + " times as fast",
		wanted: "at least 3", reached: median(ratio) >= 3,
	})
	return nil
}

func random(path string, size int64) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.CopyN(file, rand.Reader, size)
	return errors.Join(err, file.Close())
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
