package main_test

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestStoppedRunGoesOnFromItsLastStep(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			walk := []string{"run", pluginPath("walk"), "-S", "steps=400", "-S", "pause_us=1000", "--checkpoint-every", "50"}
			b.expect(0, nil, append(walk, "--name", "undisturbed")...)

			p := b.start(append(walk, "--name", "stopped")...)
			p.waitFor("saved step 50 ")
			p.signal(signal)
			b.check(p.wait(), 130, "asked to stop", "stopped on request", "mtt-host resume stopped")
			shown := b.show("stopped")
			last := b.checkpoints("stopped")[0]
			// A signal that comes while a periodic one is made needs no other.
			reason := last.Reason == "stop" || last.Reason == "periodic" && last.Step%50 == 0
			if shown.State != "STOPPED" || !reason || last.Step != shown.Step || exists(b.path("runs", "stopped", "result.json")) {
				b.Fatalf("want STOPPED at the step of a last checkpoint with reason stop; got %+v, %+v", shown, last)
			}
			if last.Step >= 400 {
				b.Fatalf("the run was over before it was stopped, at step %d", last.Step)
			}

			b.expect(0, []string{"going on with run stopped", "resumed from checkpoint " + last.ID, fmt.Sprintf("at step %d\n", last.Step)}, walk...)
			for _, same := range []struct {
				what      string
				got, want any
			}{
				{"state", b.show("stopped").State, "SUCCEEDED"},
				{"result", fmt.Sprint(b.show("stopped").Result), fmt.Sprint(b.show("undisturbed").Result)},
				{"final state", b.checkpoints("stopped")[0].StateHash, b.checkpoints("undisturbed")[0].StateHash},
				{"first step of the second attempt", b.show("stopped").Attempts[1].ResumedStep, last.Step},
			} {
				if same.got != same.want {
					b.Errorf("%s: %v, want %v", same.what, same.got, same.want)
				}
			}
		})
	}
}

// A plugin that does not follow is ended when its grace is over, or at once at the second signal, with the processes
// that it has started, which the bench looks for; what it had saved stays.
func TestPluginThatDoesNotStopIsEnded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault string
		twice bool
	}{
		"ignores Stop":                 {"ignores-stop", false},
		"ignores Stop, second signal":  {"ignores-stop", true},
		"ignores all":                  {"ignores-cancel", false},
		"ignores all, second signal":   {"ignores-cancel", true},
		"follows, but the second wins": {"none", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			// The second signal leaves long before this grace is over; without one the grace is short.
			grace := 2 * time.Second
			if c.twice {
				grace = 10 * time.Minute
			}
			p := b.start("run", pluginPath("faulty"), "--name", "bad", "-S", "steps=1000000", "--env-var", "FAULTY="+c.fault,
				"--stop-grace", grace.String())
			p.waitFor("saved step 5 ")
			if c.fault == "ignores-cancel" {
				b.eventually("the plugin has a child", func() bool { return exists(b.path("files", "bad", "child")) })
			}
			p.signal(syscall.SIGINT)
			p.waitFor("asked to stop")
			if c.twice {
				p.signal(syscall.SIGTERM)
			}
			b.check(p.wait(), 130, "mtt-host resume bad")
			if state := b.show("bad").State; state != "STOPPED" {
				b.Errorf("state %s, want STOPPED", state)
			}
			if b.verify("bad") == 0 {
				b.Error("no checkpoint was kept")
			}
		})
	}
}

// Batch systems send a signal to all processes of a job.
func TestSignalToAllProcessesSavesACheckpoint(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.start("run", pluginPath("walk"), "--name", "r", "-S", "steps=1000000", "--checkpoint-every", "100000")
	p.waitFor("attempt 1")
	b.eventually("it trains", func() bool { return b.show("r").Step > 0 })
	for _, process := range b.ours() {
		var pid int
		if _, err := fmt.Sscanf(process, "/proc/%d", &pid); err != nil {
			b.Fatal(err)
		}
		_ = syscall.Kill(pid, syscall.SIGTERM)
	}
	b.check(p.wait(), 130, "stopped on request")
	if last := b.checkpoints("r"); len(last) != 1 || last[0].Reason != "stop" {
		b.Errorf("checkpoints: %+v", last)
	}
}

func TestSignalEndsPluginDescribe(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"describe-hangs", "never-answers"} {
		b := newBench(t)
		p := b.start("plugin", "describe", pluginPath("faulty"), "--env-var", "FAULTY="+fault)
		b.eventually("the plugin runs", func() bool { return len(b.ours()) > 1 })
		p.signal(syscall.SIGINT)
		b.check(p.wait(), 130)
	}
}

func TestStopEndsTheWaitForAnotherAttempt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.start("run", pluginPath("faulty"), "--name", "bad", "--retries", "8", "--env-var", "FAULTY=exit")
	for _, delay := range []string{"1s", "2s"} {
		p.waitFor("the next attempt begins in " + delay)
	}
	p.signal(syscall.SIGTERM)
	b.check(p.wait(), 130, "attempt FAILED: the plugin ended in the middle of training", "stopped on request, before another attempt")
	if shown := b.show("bad"); shown.State != "STOPPED" || *shown.ExitCode != 130 || len(shown.Attempts) != 2 {
		b.Errorf("the run is %s with exit code %d after %d attempts, want STOPPED with 130 after 2", shown.State, *shown.ExitCode, len(shown.Attempts))
	}
	b.expect(0, []string{"resumed from checkpoint"}, "resume", "bad", "--env-var", "FAULTY=none")
}

func TestSignalBeforeTrainingLeavesNoRun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env   string
		begun string // a file below the bench that says that it is under way; "" for the process of its plugin
		args  func(b *bench) []string
	}{
		"in the build": {"GOCACHE=cache", "cache", func(b *bench) []string { return []string{"run", buildable(b)} }},
		"in Describe": {"", "", func(*bench) []string {
			return []string{"run", pluginPath("faulty"), "--env-var", "FAULTY=describe-hangs"}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			dir := filepath.Dir(b.tmp)
			if c.env != "" { // an empty cache: the whole standard library is to be built
				name, value, _ := strings.Cut(c.env, "=")
				b.env = append(b.env, name+"="+filepath.Join(dir, value))
			}
			p := b.start(c.args(b)...)
			b.eventually("it is under way", func() bool {
				if c.begun == "" { // its plugin has started
					return slices.ContainsFunc(b.ours(), func(process string) bool { return strings.Contains(process, "/bin/") })
				}
				found, _ := filepath.Glob(filepath.Join(dir, c.begun))
				return len(found) > 0
			})
			p.signal(syscall.SIGTERM)
			b.check(p.wait(), 130, "interrupted before training had begun")
			if listed := decode[struct{ Items []runInfo }](b, b.expect(0, nil, "ls", "-o", "json").stdout); len(listed.Items) > 0 {
				b.Errorf("there are runs: %+v", listed.Items)
			}
		})
	}
}

func TestKilledBuildLeavesNothingBehindTheNextCommand(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	installing := b.path("bin", ".install", "*")
	b.env = []string{"GOCACHE=" + filepath.Join(filepath.Dir(b.tmp), "cache")} // empty: the build takes long
	p := b.start("run", buildable(b))
	b.eventually("the compiler has temporary files", func() bool {
		found, _ := filepath.Glob(filepath.Join(installing, "go-build*", "*"))
		return len(found) > 0
	})
	p.kill()
	b.eventually("the compiler has ended", func() bool { return len(b.ours()) == 0 })
	b.expect(0, nil, "ls")
	if found, _ := filepath.Glob(installing); len(found) > 0 {
		b.Errorf("there is %v", found)
	}
}

// buildable makes a directory with a main package.
func buildable(b *bench) string {
	b.Helper()
	return source(b, "main.go", "package main\n\nimport \"net/http\"\n\nfunc main() { http.ListenAndServe(\"\", nil) }\n")
}

// source makes a module of one file.
func source(b *bench, name, content string) string {
	b.Helper()
	dir := filepath.Join(filepath.Dir(b.tmp), "source")
	if err := os.Mkdir(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	for name, content := range map[string]string{"go.mod": "module source\n\ngo 1.26\n", name: content} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}

// stoppedBy wants a run to say that this user has stopped it, and how.
func (b *bench) stoppedBy(run string, now bool) {
	b.Helper()
	current, err := user.Current()
	if err != nil {
		b.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		b.Fatal(err)
	}
	info := decode[struct {
		Error     string
		StopAsked struct {
			By  string
			Now bool
		} `json:"stop_asked"`
	}](b, b.expect(0, nil, "show", run, "-o", "json").stdout)
	if by := current.Username + "@" + host; info.StopAsked.By != by || info.StopAsked.Now != now || !strings.HasPrefix(info.Error, "stopped by mtt-host stop") {
		b.Errorf("%s has stopped it, now: %v; show says %+v", by, now, info)
	}
	if shown := b.expect(0, nil, "show", run).stdout; strings.Contains(shown, "at once, asked for by ") != now {
		b.Errorf("show says:\n%s", shown)
	}
}
