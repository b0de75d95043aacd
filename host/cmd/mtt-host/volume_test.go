package main_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// files returns the content of each file below a directory.
func (b *bench) files(dir string) map[string]string {
	b.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		relative, _ := filepath.Rel(dir, path)
		found[relative] = string(content)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return found
}

type moved struct{ Files, Bytes, Unchanged int64 }

func (b *bench) moved(args ...string) moved {
	b.Helper()
	return decode[moved](b, b.expect(0, nil, append(append([]string{"volume"}, args...), "-o", "json")...).stdout)
}

// volume makes a tree with an empty file, a nested one, names that are not plain, and one of several blocks.
func (b *bench) volume() (dir string, tree map[string]string) {
	b.Helper()
	tree = map[string]string{
		"empty": "", "a/b/c.txt": "nested", "a/ü and space": "odd", "a/big": strings.Repeat("0123456789abcdef", 1<<20) + "\x00\x00",
	}
	dir = filepath.Join(filepath.Dir(b.tmp), "source", "data")
	for name, content := range tree {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	return dir, tree
}

func TestVolumeGivesBackWhatItWasGiven(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	source, tree := b.volume()
	vol, home := filepath.Join(filepath.Dir(b.tmp), "vol"), filepath.Join(filepath.Dir(b.tmp), "home")
	b.expect(5, []string{"no volume", "mkdir -p"}, "volume", "ls", vol)
	for _, dir := range []string{vol, home} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	size := int64(0)
	for _, content := range tree {
		size += int64(len(content))
	}
	if got := b.moved("put", vol, source); got.Files != int64(len(tree)) || got.Bytes != size {
		t.Errorf("put moved %+v, want %d files of %d bytes", got, len(tree), size)
	}
	if got := b.files(filepath.Join(vol, "data")); !maps.Equal(got, tree) {
		t.Errorf("the volume has %v", slices.Sorted(maps.Keys(got)))
	}
	if again := b.moved("put", vol, source); again.Files != 0 || again.Bytes != 0 || again.Unchanged != int64(len(tree)) {
		t.Errorf("a second put moved %+v", again)
	}
	// By a link it is the same directory. Links within it are followed to files, and what is left out is said.
	link := filepath.Join(filepath.Dir(b.tmp), "link")
	for name, to := range map[string]string{link: source, filepath.Join(source, "file"): "a/b/c.txt", filepath.Join(source, "a", "nowhere"): "none", filepath.Join(source, "a", "dir"): "b"} {
		if err := os.Symlink(to, name); err != nil {
			t.Fatal(err)
		}
	}
	tree["file"] = tree["a/b/c.txt"]
	b.expect(0, []string{`left out "` + source + `/a/nowhere"`, `left out "` + source + `/a/dir"`, "1 file, "}, "volume", "put", vol, link, "data")
	if got := b.files(filepath.Join(vol, "data")); !maps.Equal(got, tree) {
		t.Errorf("what was put by a link is %v", slices.Sorted(maps.Keys(got)))
	}
	if err := os.Symlink("data", filepath.Join(vol, "beside")); err != nil {
		t.Fatal(err)
	}
	b.expect(0, []string{`left out "beside"`}, "volume", "get", vol, "/", filepath.Join(home, "whole"))
	if err := os.RemoveAll(filepath.Join(home, "whole")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{filepath.Join(vol, "beside"), filepath.Join(source, "a", "nowhere"), filepath.Join(source, "a", "dir")} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.moved("get", vol, "data", home); got.Files != int64(len(tree)) {
		t.Errorf("get moved %+v", got)
	}
	if got := b.files(filepath.Join(home, "data")); !maps.Equal(got, tree) {
		t.Errorf("what came back has %v", slices.Sorted(maps.Keys(got)))
	}
	if again := b.moved("get", vol, "data", home); again.Files != 0 || again.Bytes != 0 {
		t.Errorf("a second get moved %+v", again)
	}
	if got := b.expect(0, nil, "volume", "get", vol, "data/a/b/c.txt", "-").stdout; got != "nested" {
		t.Errorf("stdout has %q", got)
	}
	listed := decode[struct{ Items []struct{ Path, Type string } }](b, b.expect(0, nil, "volume", "ls", vol, "data/a", "-o", "json").stdout)
	if len(listed.Items) != 3 || listed.Items[0].Path != "data/a/b" || listed.Items[0].Type != "directory" {
		t.Errorf("ls has %+v", listed)
	}
	// Another content is replaced with --force alone.
	changed := filepath.Join(source, "a", "b", "c.txt")
	if err := os.WriteFile(changed, []byte("another"), 0o644); err != nil {
		t.Fatal(err)
	}
	b.expect(2, []string{"with another content", "--force"}, "volume", "put", vol, source)
	b.moved("put", vol, source, "--force")
	if got := b.expect(0, nil, "volume", "get", vol, "data/a/b/c.txt", "-").stdout; got != "another" {
		t.Errorf("after put --force it is %q", got)
	}
	b.expect(5, []string{"mtt-host volume ls"}, "volume", "get", vol, "nosuch", home)
	b.expect(2, []string{`without ".."`}, "volume", "rm", vol, "../home")
	b.expect(2, []string{"-r"}, "volume", "rm", vol, "data")
	b.expect(0, nil, "volume", "rm", vol, "data", "-r")
	if left := b.files(vol); len(left) > 0 {
		t.Errorf("rm has left %v", slices.Sorted(maps.Keys(left)))
	}
	if got := b.files(home); len(got) != len(tree) {
		t.Errorf("something outside the volume is gone: %v", slices.Sorted(maps.Keys(got)))
	}
}

// A file that grows is continued in place, so that whoever has it open sees the rest.
func TestSyncFollowsWhatGrows(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	vol, mirror := filepath.Join(filepath.Dir(b.tmp), "vol"), filepath.Join(filepath.Dir(b.tmp), "mirror")
	if err := os.MkdirAll(filepath.Join(vol, "runs"), 0o755); err != nil {
		t.Fatal(err)
	}
	events := filepath.Join(vol, "runs", "events")
	if err := os.WriteFile(events, []byte(strings.Repeat("x", 4<<20)), 0o644); err != nil {
		t.Fatal(err)
	}
	b.moved("sync", vol, "runs", mirror)
	opened, err := os.Stat(filepath.Join(mirror, "events"))
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(events, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString("more"); err != nil {
		t.Fatal(err)
	}
	file.Close()
	got := b.moved("sync", vol, "runs", mirror)
	now, err := os.Stat(filepath.Join(mirror, "events"))
	if err != nil {
		t.Fatal(err)
	}
	// Besides what is new, a piece of what was there is read again, to be sure that it is the same file.
	if got.Bytes < 4 || got.Bytes > 64<<10 || !os.SameFile(opened, now) || now.Size() != 4<<20+4 {
		t.Errorf("moved %+v, the same file %v, %d bytes", got, os.SameFile(opened, now), now.Size())
	}
}

// However the volume of a live run is named: as itself, from within or from outside, or by a link; and so is its data.
func TestVolumeKeepsWhatALiveRunUses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	above := filepath.Dir(b.outputs)
	data, link := filepath.Join(above, "data", "images"), filepath.Join(above, "link")
	if err := errors.Join(os.MkdirAll(data, 0o755), os.Symlink(b.outputs, link)); err != nil {
		t.Fatal(err)
	}
	p := b.start("run", pluginPath("walk"), "--name", "r", "-S", "steps=1000000", "--checkpoint-every", "50", "--mount", data+":images")
	b.eventually("there is a checkpoint", func() bool { return len(manifests(b, "r")) > 0 })
	// One that has ended and another volume are in nobody's way.
	b.expect(0, nil, "run", pluginPath("walk"), "--name", "ended", "-S", "steps=10")
	for _, target := range [][2]string{
		{b.outputs, "runs/r"}, {b.outputs, "checkpoints/r"}, {b.outputs, "files/r"}, {b.outputs, "checkpoints"}, {b.outputs, "bin"}, {b.outputs, "runs/r/log"},
		{filepath.Join(b.outputs, "runs"), "r"}, {filepath.Join(b.outputs, "checkpoints", "r"), filepath.Base(filepath.Dir(manifests(b, "r")[0]))},
		{above, "outputs"}, {above, "link"}, {above, "outputs/runs"}, {filepath.Dir(above), filepath.Base(above)}, {link, "runs/r"},
	} {
		b.expect(7, []string{"run r is still running"}, "volume", "rm", target[0], target[1], "-r", "--outputs", filepath.Join(above, "none"))
	}
	for _, target := range [][2]string{{above, "data"}, {above, "data/images"}, {filepath.Dir(data), "images"}} {
		b.expect(7, []string{"run r is still running"}, "volume", "rm", target[0], target[1], "-r")
	}
	if got := decode[struct{ Path string }](b, b.expect(0, nil, "volume", "rm", b.outputs, "runs/ended", "-r", "-o", "json").stdout); got.Path != "runs/ended" {
		t.Errorf("rm has printed %+v", got)
	}
	p.signal(syscall.SIGINT)
	b.check(p.wait(), 130)
	b.verify("r")
	for _, path := range []string{"checkpoints/r", "files/r", "runs/r"} {
		b.expect(0, nil, "volume", "rm", b.outputs, path, "-r")
	}
	b.expect(5, nil, "show", "r")
	b.expect(0, nil, "volume", "rm", above, "data", "-r")
}

func TestKilledCopyIsGoneOnWith(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	source, tree := b.volume()
	vol := filepath.Join(filepath.Dir(b.tmp), "vol")
	if err := os.Mkdir(vol, 0o755); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		p := b.start("volume", "put", vol, source)
		b.eventually("something is there, or it has ended", func() bool {
			entries, _ := os.ReadDir(filepath.Join(vol, "data"))
			return len(entries) > 0 || !p.running()
		})
		p.kill()
	}
	b.expect(0, nil, "volume", "put", vol, source)
	if got := b.files(filepath.Join(vol, "data")); !maps.Equal(got, tree) {
		t.Errorf("the volume has %v", slices.Sorted(maps.Keys(got)))
	}
}
