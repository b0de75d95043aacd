package main_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// pipes are promises about a run that has a pipe, or another thing that is no file, in the place of one.
var pipes = []promise{
	{"a pipe in the place of a record is damage", func(b *bench) {
		for _, record := range []string{"run.json", "attempts/1/claim.json", "attempts/1/start.json", "attempts/1/end.json", "attempts/1/elapsed", "result.json", "log/1.jsonl"} {
			name := strings.NewReplacer("/", "-").Replace(record)
			b.expect(0, nil, walk("--name", name, "--new")...)
			path := b.path("runs", name, record)
			if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
				b.Fatal(err)
			}
			shows, resumes, logs := 66, 66, 0
			switch record {
			case "run.json":
				logs = 66
			case "attempts/1/elapsed":
				shows, resumes = 0, 0
			case "log/1.jsonl":
				shows, resumes, logs = 0, 0, 66
			}
			for command, code := range map[string]int{"show": shows, "resume": resumes, "logs": logs} {
				r := b.expect(code, nil, command, name)
				if code != 0 && !strings.Contains(r.stderr, path+" is damaged: it is no regular file") {
					b.Errorf("%s: %v", command, r)
				}
			}
		}
		b.expect(0, []string{"is damaged"}, "ls")
	}},
	{"a pipe or a file in the place of the attempts is damage", func(b *bench) {
		for name, put := range map[string]func(path string) error{
			"pipe": func(path string) error { return syscall.Mkfifo(path, 0o600) },
			"file": func(path string) error { return os.WriteFile(path, nil, 0o600) },
		} {
			b.expect(0, nil, walk("--name", name, "--new")...)
			path := b.path("runs", name, "attempts")
			if err := errors.Join(os.RemoveAll(path), put(path)); err != nil {
				b.Fatal(err)
			}
			for _, command := range [][]string{{"show", name}, {"resume", name}, {"stop", name}, {"wait", name}, {"volume", "rm", "-r", b.outputs, "runs/" + name}} {
				if r := b.run(command...); r.code != 66 || !strings.Contains(r.stderr, "is damaged") {
					b.Errorf("with a %s: mtt-host %q: %v", name, command, r)
				}
			}
		}
	}},
	{"curves are whole whatever is among the event files", func(b *bench) {
		alone := b.alone()
		for _, name := range []string{"0000000000.h.1.1", "-5.h.1.1", "9999999999.h.1.1", "99999999999999999999.h.1.1", "9223372036854775807", "text.h", ""} {
			run := "r" + strings.NewReplacer("-", "m").Replace(name)
			args := b.stopped(run)
			foreign := b.path("runs", run, "events.out.tfevents."+name)
			if err := os.WriteFile(foreign, nil, 0o644); err != nil {
				b.Fatal(err)
			}
			b.expect(0, nil, args...)
			found, _ := filepath.Glob(b.path("runs", run, "*tfevents*"))
			if len(found) != 3 || !strings.HasSuffix(found[2], ".2") { // sorted
				b.Errorf("the event files are %v: that of attempt 2 is not the last", found)
			}
			b.equal(b.outcome(run), alone)
		}
		args := b.stopped("odd")
		at := func(time string) string { return b.path("runs", "odd", "events.out.tfevents."+time+".h.1.1") }
		if err := errors.Join(syscall.Mkfifo(at("0000000001"), 0o600), syscall.Mkfifo(at("9999999999"), 0o600), os.Mkdir(at("9999999998"), 0o700), os.Symlink("nowhere", at("9999999997"))); err != nil {
			b.Fatal(err)
		}
		b.expect(0, nil, "show", "odd")
		b.expect(0, nil, args...)
		b.equal(b.outcome("odd"), alone)
	}},
}

func TestPipesAndForeignFilesDoNotStopARun(t *testing.T) {
	t.Parallel()
	hold(t, pipes)
}
