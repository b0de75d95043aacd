package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/mtt-project/mtt/host/internal/tensorboard/tbtest"
)

func TestTensorBoardIsStartedOnTheRunsThatAreNamed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	t.Cleanup(func() { os.RemoveAll(filepath.Join(b.tmp, ".tensorboard-info")) }) // its own, when it is killed
	b.expect(0, nil, walk("--name", "a")...)
	b.expect(0, nil, walk("--name", "b", "--seed", "1")...)
	board := tbtest.Find(t)
	named := []string{"MTT_TENSORBOARD=" + board}
	onPath := []string{"MTT_TENSORBOARD=", "PATH=" + filepath.Dir(board) + string(filepath.ListSeparator) + os.Getenv("PATH")}
	for _, c := range []struct {
		named, shown []string
		loader       tbtest.Loader
		found        []string
	}{{nil, []string{"a", "b"}, tbtest.Python, onPath}, {[]string{"b"}, []string{"b"}, tbtest.Python, named}, {[]string{"a", "b", "a"}, []string{"a", "b"}, tbtest.Rust, named}} {
		args := append(append([]string{"tb"}, c.named...), "--")
		command := exec.Command(hostPath, append(args, tbtest.Flags(c.loader)...)...)
		command.Env = append(append(os.Environ(), "TMPDIR="+b.tmp, "MTT_OUTPUTS="+b.outputs), c.found...)
		server := tbtest.StartCommand(t, command, c.loader)
		for _, run := range c.shown {
			server.Wait(run, b.outcome(run).curves)
		}
	}
	b.expect(5, []string{"no run nosuch"}, "tb", "nosuch")
	b.env = []string{"PATH=" + filepath.Dir(b.tmp)}
	b.expect(5, []string{"there is no TensorBoard here", "pip install tensorboard"}, "tb")
}
