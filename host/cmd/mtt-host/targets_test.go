package main_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// targets are promises about what a command writes to, which is what its user meant and nothing else.
var targets = []promise{
	{"what is no regular file is not replaced by get", func(b *bench) {
		vol, home := b.dir("vol"), b.dir("home")
		b.writeAs(filepath.Join(vol, "d", "a"), "content", 0o644)
		b.writeAs(filepath.Join(vol, "d", "b"), "content", 0o644)
		for what, make := range irregular {
			alone, inTree := filepath.Join(home, what), filepath.Join(home, "d", "a")
			make(b, alone)
			make(b, inTree)
			for _, force := range []string{"--force=false", "--force"} {
				b.expect(2, []string{alone, "no regular file"}, "volume", "get", vol, "d/a", alone, force)
				b.expect(2, []string{inTree, "no regular file"}, "volume", "get", vol, "d", home, force)
			}
			b.expect(2, []string{inTree, "no regular file"}, "volume", "sync", vol, "d", filepath.Join(home, "d"))
			b.isStill(what, alone)
			b.isStill(what, inTree)
			if _, err := os.Lstat(filepath.Join(home, "d", "b")); err == nil {
				b.Error("another file was fetched beside one that was refused")
			}
			b.remove(alone)
			b.remove(inTree)
		}
	}},
	{"what is no regular file is not replaced by put", func(b *bench) {
		vol, source := b.dir("vol"), filepath.Join(b.dir("source"), "a")
		b.writeAs(source, "content", 0o644)
		for what, make := range irregular {
			target := filepath.Join(vol, "a")
			make(b, target)
			b.expect(2, []string{"a"}, "volume", "put", vol, source)
			b.expect(2, []string{"no regular file"}, "volume", "put", vol, source, "--force")
			b.isStill(what, target)
			b.remove(target)
		}
	}},
	{"get follows a link that it is given as its target", func(b *bench) {
		vol, home := b.dir("vol"), b.dir("home")
		b.writeAs(filepath.Join(vol, "a"), "new", 0o644)
		b.writeAs(filepath.Join(home, "sub", "real"), "former", 0o644)
		link := filepath.Join(home, "link")
		if err := os.Symlink("sub/real", link); err != nil {
			b.Fatal(err)
		}
		b.expect(2, []string{"real", "another content", "--force"}, "volume", "get", vol, "a", link)
		b.expect(0, nil, "volume", "get", vol, "a", link, "--force")
		b.has(filepath.Join(home, "sub", "real"), "new")
		b.isStill("link", link)
		b.expect(0, nil, "volume", "get", vol, "a", filepath.Join(home, "sub")+"/")
		b.has(filepath.Join(home, "sub", "a"), "new")
	}},
	{"get replaces another content only with --force, as put does", func(b *bench) { getAsks(b, b.dir("vol")) }},
	{"a file keeps its permissions on the way, and gets no wider ones", func(b *bench) {
		source, vol, home := b.dir("source"), b.dir("vol"), b.dir("home")
		modes := map[string]fs.FileMode{"run": 0o755, "secret": 0o600, "plain": 0o644, "fixed": 0o444, "private/key": 0o600}
		for name, mode := range modes {
			b.writeAs(filepath.Join(source, name), name, mode)
		}
		if err := os.Chmod(filepath.Join(source, "private"), 0o700); err != nil {
			b.Fatal(err)
		}
		b.expect(0, nil, "volume", "put", vol, source, "d")
		b.expect(0, nil, "volume", "get", vol, "d", home)
		for name, mode := range modes {
			for _, dir := range []string{filepath.Join(vol, "d"), filepath.Join(home, "d")} {
				b.hasMode(filepath.Join(dir, name), mode)
				b.hasMode(filepath.Join(dir, "private"), 0o700)
			}
			b.has(filepath.Join(home, "d", name), name)
		}
		// What is replaced, or grows, is not wider than it was, nor than what comes.
		b.writeAs(filepath.Join(home, "secret"), "other", 0o600)
		b.writeAs(filepath.Join(home, "plain"), "other", 0o644)
		b.writeAs(filepath.Join(home, "grown"), "sec", 0o644)
		b.expect(0, nil, "volume", "get", vol, "d/plain", filepath.Join(home, "secret"), "--force")
		b.hasMode(filepath.Join(home, "secret"), 0o600)
		b.expect(0, nil, "volume", "get", vol, "d/secret", filepath.Join(home, "plain"), "--force")
		b.hasMode(filepath.Join(home, "plain"), 0o600)
		b.expect(0, nil, "volume", "get", vol, "d/secret", filepath.Join(home, "grown"))
		b.hasMode(filepath.Join(home, "grown"), 0o600)
	}},
	{"directories without a file are put and fetched", func(b *bench) {
		source, vol, home := b.dir("source"), b.dir("vol"), b.dir("home")
		for _, dir := range []string{"empty", "of/one/empty"} {
			if err := os.MkdirAll(filepath.Join(source, dir), 0o755); err != nil {
				b.Fatal(err)
			}
		}
		b.expect(0, nil, "volume", "put", vol, source)
		b.expect(0, nil, "volume", "get", vol, "source", home)
		for _, dir := range []string{"empty", "of/one/empty"} {
			if info, err := os.Stat(filepath.Join(home, "source", dir)); err != nil || !info.IsDir() {
				b.Errorf("%s has not come back: %v", dir, err)
			}
		}
		b.writeAs(filepath.Join(vol, "source2", "of"), "a file", 0o644)
		b.expect(2, []string{"source2/of"}, "volume", "put", vol, source, "source2")
	}},
	{"an empty value is no value, by a flag or a variable", func(b *bench) {
		for flag, command := range map[string][]string{
			"outputs": {"ls"}, "backend": {"ls"}, "volume": {"show", "r"}, "device": {"run", "walk"}, "checkpoint-every": {"run", "walk"},
			"output": {"ls"}, "image": {"run", "walk"}, "keep": {"run", "walk"}, "timeout": {"resume", "r"}, "memory": {"run", "walk"}, "modal-env": {"ls"},
		} {
			b.expect(2, []string{"--" + flag}, append(slices.Clone(command), "--"+flag, "")...)
			with := *b
			variable := "MTT_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
			with.env = append(slices.Clone(b.env), variable+"=")
			with.expect(2, []string{variable + " is empty"}, command...)
		}
		for _, flag := range []string{"--name", "--config"} {
			b.expect(2, []string{flag + " is empty"}, "run", pluginPath("walk"), flag, "")
		}
		if left := b.files(filepath.Dir(b.tmp)); len(left) > 0 {
			b.Errorf("something was written: %v", slices.Sorted(maps.Keys(left)))
		}
	}},
	{"outputs that are named and missing are said, and the default ones are empty", func(b *bench) {
		missing := filepath.Join(b.dir("home"), "typo")
		for _, command := range [][]string{{"ls"}, {"show", "r"}, {"logs", "r"}, {"wait", "r"}, {"stop", "r"}, {"checkpoints", "ls", "r"}, {"attach", "r"}, {"tb"}, {"resume", "r"}} {
			b.expect(5, []string{missing}, append(command, "--outputs", missing)...)
		}
		b.env = append(b.env, "MTT_OUTPUTS="+missing)
		b.expect(5, []string{missing, "MTT_OUTPUTS"}, "ls")
		if _, err := os.Lstat(missing); err == nil {
			b.Error("a command that reads has made it")
		}
		unset := exec.Command("env", "-u", "MTT_OUTPUTS", hostPath, "ls", "-o", "json")
		r := b.startCommand(unset).wait()
		b.check(r, 0)
		if !strings.Contains(r.stdout, `"items": []`) {
			b.Errorf("ls has printed %s", r.stdout)
		}
	}},
	{"a local file that is missing is called local", func(b *bench) {
		vol := b.dir("vol")
		r := b.expect(5, []string{"nosuch", "It is this machine"}, "volume", "put", vol, "nosuch")
		if strings.Contains(r.stderr, "volume ls") {
			b.Errorf("it says to look in the volume: %s", r.stderr)
		}
		b.expect(5, []string{"volume ls"}, "volume", "get", vol, "nosuch")
	}},
	{"a name of any bytes keeps the columns of a table", func(b *bench) {
		vol := b.dir("vol")
		for _, name := range []string{"plain", "latin-\xe9", "tab\tand\nline", "\x1b[31mred", "wide-日本", "combined-e\u0301", "hidden-\u200b", `back\slash`} {
			b.writeAs(filepath.Join(vol, name), "content", 0o644)
		}
		table := b.expect(0, nil, "volume", "ls", vol).stdout
		for _, want := range []string{`latin-\xe9 `, `tab\tand\nline `, `\x1b[31mred `, "wide-日本 ", "combined-e\u0301 ", `hidden-\u200b `, `back\slash `} {
			if !strings.Contains(table, want) {
				b.Errorf("want %q in\n%s", want, table)
			}
		}
		at := -1
		for line := range strings.Lines(strings.NewReplacer("日本", "four", "e\u0301", "e").Replace(table)) {
			column := strings.Index(line, "file")
			if strings.HasPrefix(line, "PATH") {
				column = strings.Index(line, "TYPE")
			}
			if at < 0 {
				at = column
			}
			if column != at {
				b.Errorf("the second column of %q begins at %d, and that of others at %d", line, column, at)
			}
		}
	}},
}

func TestCommandsWriteToWhatWasMeant(t *testing.T) {
	t.Parallel()
	hold(t, targets)
}

// On Modal, what holds for directories holds too.
func TestCommandsOnModalWriteToWhatWasMeant(t *testing.T) {
	t.Parallel()
	m := newModalBench(t)
	m.fake.MustModal(t, "volume", "create", "vol", "--version", "2")
	getAsks(m.bench, "vol")

	source := m.dir("source")
	m.writeAs(filepath.Join(source, "d", "good"), "good", 0o644)
	if err := os.Mkdir(filepath.Join(source, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.expect(0, []string{"empty", "a directory without a file"}, "volume", "put", "vol", source, "put")

	// A name that is not UTF-8 is refused before anything is sent, and costs nothing else where a plugin has left it.
	odd := filepath.Join(source, "d", "caf\xe9")
	m.writeAs(odd, "odd", 0o644)
	m.writeAs(filepath.Join(source, "d", "fine"), "fine", 0o644)
	m.expect(2, []string{`caf\xe9`, "not UTF-8"}, "volume", "put", "vol", source, "other")
	if listed := m.expect(0, nil, "volume", "ls", "vol", "-r").stdout; strings.Contains(listed, "other") {
		t.Errorf("something was sent: %s", listed)
	}
	m.expect(2, []string{`caf\xe9`, "not UTF-8"}, "volume", "put", "vol", odd)
	for _, command := range [][]string{{"ls", "vol", "caf\xe9"}, {"get", "vol", "d/caf\xe9"}, {"rm", "vol", "d/caf\xe9"}, {"put", "vol", filepath.Join(source, "d", "fine"), "caf\xe9"}} {
		m.expect(2, []string{"not UTF-8"}, append([]string{"volume"}, command...)...)
	}
	m.expect(0, nil, "run", pluginPath("samples"), "--name", "r", "-S", "volume=/mtt/outputs")
	home := m.dir("home")
	if listed := m.expect(0, nil, "volume", "ls", "outputs", "-r", "files/r").stdout; !strings.Contains(listed, "caf") || !strings.Contains(listed, "samples/000030.txt") {
		t.Errorf("ls -r has %s", listed)
	}
	m.expect(0, []string{"left out", "not UTF-8"}, "volume", "get", "outputs", "files/r", home)
	m.has(filepath.Join(home, "r", "samples", "000030.txt"), "sample 30")
	m.expect(0, nil, "volume", "rm", "outputs", "files/r", "-r")
	if listed := m.expect(0, nil, "volume", "ls", "outputs", "-r", "files").stdout; strings.Contains(listed, "samples") {
		t.Errorf("rm -r has left %s", listed)
	}
}

// getAsks is about a volume without files.
func getAsks(b *bench, vol string) {
	b.Helper()
	source, home := b.dir("asks"), b.dir("home")
	for i := range 9 {
		b.writeAs(filepath.Join(source, "d", fmt.Sprint("f", i)), fmt.Sprint("the content of ", i), 0o644)
	}
	b.expect(0, nil, "volume", "put", vol, filepath.Join(source, "d"))
	local := func(i int) string { return filepath.Join(home, "d", fmt.Sprint("f", i)) }
	b.writeAs(local(0), "the con", 0o644)               // to be continued
	b.writeAs(local(1), "", 0o644)                      // also
	b.writeAs(local(2), "the content of 2", 0o644)      // the same
	b.writeAs(local(3), "THE", 0o644)                   // no beginning of it
	b.writeAs(local(4), "the content of 4 more", 0o644) // beyond it
	b.writeAs(local(5), "the content of X", 0o644)      // as long
	b.writeAs(local(6), "something else", 0o644)
	r := b.expect(2, []string{local(3), local(4), local(5), "and 1 more", "another content", "--force"}, "volume", "get", vol, "d", home)
	if strings.Contains(r.stderr, local(6)) || strings.Contains(r.stderr, local(2)) {
		b.Errorf("too many are named: %s", r.stderr)
	}
	b.has(local(0), "the con")
	b.has(local(3), "THE")
	if _, err := os.Lstat(local(7)); err == nil {
		b.Error("something was fetched all the same")
	}
	for i := 3; i <= 6; i++ {
		b.expect(2, []string{"another content"}, "volume", "get", vol, fmt.Sprint("d/f", i), local(i))
		b.remove(local(i))
	}
	before, err := os.Stat(local(0))
	if err != nil {
		b.Fatal(err)
	}
	b.expect(0, nil, "volume", "get", vol, "d", home)
	for i := range 9 {
		b.has(local(i), fmt.Sprint("the content of ", i))
	}
	if after, err := os.Stat(local(0)); err != nil || !os.SameFile(before, after) {
		b.Error("a file that has grown was not continued in place")
	}
	b.writeAs(local(3), "another", 0o644)
	b.expect(0, nil, "volume", "get", vol, "d", home, "--force")
	b.has(local(3), "the content of 3")
}

// irregular makes what is no regular file. No device: a test writes to none.
var irregular = map[string]func(*bench, string){
	"pipe": func(b *bench, path string) {
		b.Helper()
		b.parent(path)
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			b.Fatal(err)
		}
	},
	"dangling": func(b *bench, path string) {
		b.Helper()
		b.parent(path)
		if err := os.Symlink("nowhere", path); err != nil {
			b.Fatal(err)
		}
	},
}

// isStill wants a path to be what it was made.
func (b *bench) isStill(what, path string) {
	b.Helper()
	want := fs.ModeSymlink
	if what == "pipe" {
		want = fs.ModeNamedPipe
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != want {
		b.Errorf("%s is no %s any more: %v %v", path, what, info, err)
	}
}

// dir makes a directory beside the outputs.
func (b *bench) dir(name string) string {
	b.Helper()
	dir := filepath.Join(filepath.Dir(b.tmp), name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	return dir
}

func (b *bench) parent(path string) {
	b.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) writeAs(path, content string, mode fs.FileMode) {
	b.Helper()
	b.parent(path)
	err := os.WriteFile(path, []byte(content), mode)
	if err == nil {
		err = os.Chmod(path, mode) // whatever the umask is
	}
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) remove(path string) {
	b.Helper()
	if err := os.Remove(path); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) has(path, content string) {
	b.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != content {
		b.Errorf("%s has %q, want %q: %v", path, got, content, err)
	}
}

func (b *bench) hasMode(path string, mode fs.FileMode) {
	b.Helper()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
		b.Errorf("%s has mode %v, want %v: %v", path, info.Mode().Perm(), mode, err)
	}
}
