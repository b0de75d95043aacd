package main_test

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/mtt-project/mtt/host/internal/tensorboard/tbtest"
)

// What one command line writes, the other reads, byte for byte; and each sees what the other has removed.
func TestModalsCommandLineAndOursWorkOnTheSameFiles(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	source, tree := m.volume()
	home := t.TempDir()
	within := func(dir string) string {
		dir = filepath.Join(home, dir)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for _, version := range []string{"1", "2"} {
		vol := "vol" + version
		m.fake.MustModal(t, "volume", "create", vol, "--version", version)
		if version == "2" {
			if got := m.moved("put", vol, source, "ours"); got.Files != int64(len(tree)) {
				t.Errorf("put moved %+v", got)
			}
			m.fake.MustModal(t, "volume", "get", vol, "/ours", within("modal"))
			if got := m.files(filepath.Join(home, "modal", "ours")); !maps.Equal(got, tree) {
				t.Errorf("what mtt-host has put is for modal %q", slices.Sorted(maps.Keys(got)))
			}
			if again := m.moved("put", vol, source, "ours"); again.Files != 0 || again.Bytes != 0 {
				t.Errorf("a second put moved %+v", again)
			}
			m.expect(0, nil, "volume", "rm", vol, "ours", "-r")
			if got := m.fake.MustModal(t, "volume", "ls", vol); strings.Contains(got, "ours") {
				t.Errorf("what mtt-host has removed is for modal %s", got)
			}
		} else {
			m.expect(2, []string{"version 1"}, "volume", "put", vol, source, "ours")
		}
		m.fake.MustModal(t, "volume", "put", vol, source, "/theirs")
		for _, how := range []string{"get", "sync"} {
			to := within(how + version)
			m.moved(how, vol, "theirs", to)
			if how == "get" {
				to = filepath.Join(to, "theirs")
			}
			if got := m.files(to); !maps.Equal(got, tree) {
				t.Errorf("version %s: %s of what modal has put has %q", version, how, slices.Sorted(maps.Keys(got)))
			}
			if again := m.moved(how, vol, "theirs", within(how+version)); again.Bytes != 0 {
				t.Errorf("version %s: a second %s moved %+v", version, how, again)
			}
		}
		if got := m.expect(0, nil, "volume", "get", vol, "theirs/a/b/c.txt", "-").stdout; got != tree["a/b/c.txt"] {
			t.Errorf("version %s: stdout has %q", version, got)
		}
		listed := decode[struct {
			Items []struct {
				Path, Type string
				Size       int64 `json:"size_bytes"`
			}
		}](m.bench, m.expect(0, nil, "volume", "ls", vol, "theirs/a", "-o", "json").stdout).Items
		if len(listed) != 3 || listed[0].Path != "theirs/a/b" || listed[0].Type != "directory" || listed[1].Size != int64(len(tree["a/big"])) {
			t.Errorf("version %s: ls has printed %+v", version, listed)
		}
		m.fake.MustModal(t, "volume", "rm", vol, "theirs/a/big")
		m.expect(5, []string{"theirs/a/big"}, "volume", "get", vol, "theirs/a/big", "-")
		m.expect(2, []string{"-r"}, "volume", "rm", vol, "theirs")
		m.expect(0, nil, "volume", "rm", vol, "theirs", "-r")
		if got := m.fake.MustModal(t, "volume", "ls", vol); strings.Contains(got, "theirs") {
			t.Errorf("version %s: what mtt-host has removed is for modal %s", version, got)
		}
	}
	m.expect(5, []string{"no volume nosuch", "modal volume list"}, "volume", "ls", "nosuch")
}

// A run is for Modal's own command line what it is for ours, and TensorBoard shows what it downloads.
func TestModalsCommandLineWorksOnARun(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.expect(0, nil, endless("--name", "r", "-d")...)
	m.saved("r", 200)
	app := m.modalInfo("r").AppID
	if got := m.fake.MustModal(t, "app", "list", "--json"); !strings.Contains(got, app) || !strings.Contains(got, "mtt-outputs") || !strings.Contains(got, `"tasks": "2"`) {
		t.Errorf("app list says %s", got)
	}
	m.expect(0, nil, "stop", "r")
	logged := m.expect(0, nil, "logs", "r", "-o", "json").stdout
	there := m.fake.MustModal(t, "app", "logs", app, "--since", "1h")
	for line := range strings.Lines(logged) {
		if !strings.Contains(there, strings.TrimSpace(line)) && strings.Contains(line, `"kind":"saved"`) {
			t.Errorf("app logs lacks %s", line)
		}
	}
	if got := m.fake.MustModal(t, "volume", "ls", "outputs", "/runs"); strings.TrimSpace(got) != "runs/r" {
		t.Errorf("volume ls says %q", got)
	}
	home := t.TempDir()
	m.fake.MustModal(t, "volume", "get", "outputs", "runs/", home)
	m.fake.MustModal(t, "volume", "get", "outputs", "checkpoints/", home)
	m.fetch("r")
	if got, want := m.files(filepath.Join(home, "runs", "r")), m.files(m.path("runs", "r")); !maps.Equal(got, want) || len(want) < 5 {
		t.Errorf("modal has %q, mtt-host %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
	m.expect(0, nil, "volume", "get", "outputs", "checkpoints/r", filepath.Join(home, "ours"))
	if got, want := m.files(filepath.Join(home, "checkpoints", "r")), m.files(filepath.Join(home, "ours", "r")); !maps.Equal(got, want) || len(want) < 2 {
		t.Errorf("modal has %q, mtt-host %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
	for _, loader := range tbtest.Loaders {
		tbtest.Start(t, filepath.Join(home, "runs"), loader).Wait("r", m.curves("r"))
	}
}

// TensorBoard that was started while a run on Modal trains shows its curves to the end, over the mirror of mtt-host tb and
// over a directory that volume sync brings up to date.
func TestTensorBoardFollowsARunOnModal(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.expect(0, nil, strolls("--name", "r", "-d")...)
	m.saved("r", 150)
	workers, _ := m.sandboxes("r")
	worker := m.worker(workers[0])
	if err := worker.Signal(syscall.SIGSTOP); err != nil { // it must not end before it is preempted, however long that takes
		t.Fatal(err)
	}
	synced := filepath.Join(t.TempDir(), "runs")
	m.moved("sync", "outputs", "runs", synced)
	open := tbtest.Start(t, synced, tbtest.Rust)
	command := exec.Command(hostPath, append([]string{"tb", "r", "--"}, tbtest.Flags(tbtest.Python)...)...)
	command.Env = append(os.Environ(), append(m.env, "TMPDIR="+m.tmp, "MTT_TENSORBOARD="+tbtest.Find(t))...)
	t.Cleanup(func() { os.RemoveAll(filepath.Join(m.tmp, ".tensorboard-info")) })
	mirrored := tbtest.StartCommand(t, command, tbtest.Python)
	m.fake.Tell(t, "preempt", sandboxName("r"))
	if err := worker.Signal(syscall.SIGCONT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	m.expect(0, nil, "wait", "r")
	ended := m.end("r")
	m.moved("sync", "outputs", "runs", synced)
	open.Wait("r", ended.curves)
	mirrored.Wait("r", ended.curves)
}

// What a kill -9 has left of a copy is not copied again: block by block with put, file by file and range by range with get.
func TestKilledCopyOnModalIsGoneOnWith(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.fake.MustModal(t, "volume", "create", "vol", "--version", "2")
	source := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(source, 0o755); err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{7})
	size := int64(0)
	for _, name := range []string{"a", "b", "c"} {
		content := make([]byte, 40<<20)
		_, _ = random.Read(content)
		if err := os.WriteFile(filepath.Join(source, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
		size += int64(len(content))
	}
	// Blocks become slow, so that the kill comes between two of them.
	m.fake.Tell(t, "set", "block-delay=300ms")
	p := m.start("volume", "put", "vol", source)
	m.eventually("blocks were transferred", func() bool {
		journals, _ := filepath.Glob(filepath.Join(filepath.Dir(m.tmp), ".cache", "mtt", "puts", "*"))
		if len(journals) == 0 {
			return false
		}
		raw, err := os.ReadFile(journals[0])
		return err == nil && bytes.Count(raw, []byte("\n")) >= 3
	})
	p.kill()
	m.fake.Tell(t, "set", "block-delay=0s")
	if got := m.moved("put", "vol", source); got.Bytes > size-2*8<<20 {
		t.Errorf("the put that went on moved %d of %d bytes", got.Bytes, size)
	}
	to := t.TempDir()
	m.fake.Tell(t, "set", "block-delay=300ms")
	p = m.start("volume", "get", "vol", "data", to)
	m.eventually("something has come", func() bool {
		total := int64(0)
		paths, _ := filepath.Glob(filepath.Join(to, "data", "*"))
		hidden, _ := filepath.Glob(filepath.Join(to, "data", ".*"))
		for _, path := range append(paths, hidden...) {
			if info, err := os.Stat(path); err == nil { // else it was given its name just now
				total += info.Size()
			}
		}
		return total > 16<<20
	})
	p.kill()
	m.fake.Tell(t, "set", "block-delay=0s")
	if got := m.moved("get", "vol", "data", to); got.Bytes > size-8<<20 {
		t.Errorf("the get that went on moved %d of %d bytes", got.Bytes, size)
	}
	if got := m.files(filepath.Join(to, "data")); !maps.Equal(got, m.files(source)) {
		t.Errorf("the copy has %q and is another one", slices.Sorted(maps.Keys(got)))
	}
	// Of what has grown, little more moves than what is new; and of what is there, nothing.
	grown, err := os.OpenFile(filepath.Join(source, "b"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := grown.WriteString("more"); err != nil {
		t.Fatal(err)
	}
	grown.Close()
	m.moved("put", "vol", source, "--force")
	if got := m.moved("put", "vol", source); got.Bytes != 0 || got.Unchanged != 3 {
		t.Errorf("a put of what is there moved %+v", got)
	}
	if got := m.moved("get", "vol", "data", to); got.Bytes < 4 || got.Bytes > 64<<10 || got.Unchanged != 2 {
		t.Errorf("a get of what has grown by 4 bytes moved %+v", got)
	}
	if got := m.files(filepath.Join(to, "data")); !maps.Equal(got, m.files(source)) {
		t.Errorf("the copy of what has grown has %q and is another one", slices.Sorted(maps.Keys(got)))
	}
}

// What is its own, on the volume that it is on, and what it has mounted of others; also while its supervisor is about to start.
func TestRemovingOnModalKeepsWhatALiveRunUses(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	small := filepath.Join(t.TempDir(), "small")
	if err := os.WriteFile(small, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	m.fake.MustModal(t, "volume", "create", "data", "--version", "2")
	m.expect(0, nil, "volume", "put", "data", small, "images/0")
	m.expect(0, nil, "volume", "put", "data", small, "other/0")
	m.expect(0, nil, endless("--name", "r", "-d", "--mount", "data:images")...)
	m.saved("r", 100)
	for _, path := range []string{"runs/r", "checkpoints/r", "files/r", "checkpoints", "bin", "runs/r/log"} {
		m.expect(7, []string{"run r is still running"}, "volume", "rm", "outputs", path, "-r")
	}
	m.expect(7, []string{"run r is still running on volume outputs, and uses volume data", "mtt-host stop r -b modal --volume outputs"}, "volume", "rm", "data", "images", "-r")
	m.expect(0, nil, "stop", "r")
	m.verify("r")
	removed := decode[struct {
		Path         string
		Files, Bytes int64
	}](m.bench, m.expect(0, nil, "volume", "rm", "data", "images", "-r", "-o", "json").stdout)
	if removed.Path != "images" || removed.Files != 1 || removed.Bytes != 2 {
		t.Errorf("rm has printed %+v", removed)
	}
	m.expect(0, nil, "volume", "put", "outputs", small, "runs/r/supervisors/9/claim.json")
	m.expect(7, []string{"run r is still running"}, "volume", "rm", "outputs", "runs/r", "-r")
	m.expect(0, nil, "volume", "put", "outputs", small, "runs/r/supervisors/9/end.json")
	for _, path := range []string{"checkpoints/r", "files/r", "runs/r"} {
		r := m.run("volume", "rm", "outputs", path, "-r")
		if r.code != 0 && path != "files/r" { // which the experiment may have left empty
			t.Errorf("rm of %s: %v", path, r)
		}
	}
	m.expect(5, nil, "show", "r")
}
