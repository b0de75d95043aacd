package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/mtt-project/mtt/host/internal/backend/modal"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
	"github.com/mtt-project/mtt/host/internal/scratch"
	"github.com/mtt-project/mtt/host/internal/tensorboard"
)

func newTensorBoard() *cobra.Command {
	var common common
	command := &cobra.Command{
		Use:   "tb [RUN...] [-- FLAG...]",
		Short: "Start TensorBoard on runs; on all of them by default",
		Long: `Start TensorBoard on runs; on all of them by default. FLAGs are its own.

It is the one that MTT_TENSORBOARD names, that is on PATH, or that is in .venv.`,
		Example: "  mtt-host tb\n  mtt-host tb digits-20261123-5kq2vd -- --port 7000",
		Args:    cobra.ArbitraryArgs,
		RunE: func(command *cobra.Command, args []string) error {
			on, err := common.open(command.Context(), modal.Nothing)
			if err != nil {
				return err
			}
			defer on.Close()
			var flags []string
			if n := command.ArgsLenAtDash(); n >= 0 {
				args, flags = args[:n], args[n:]
			}
			for _, id := range args {
				if _, err := find(command.Context(), on.Registry(), id); err != nil {
					return err
				}
			}
			path, found := tensorboard.Find()
			if !found {
				return exit.Errorf(exit.NotFound, "there is no TensorBoard here").
					Hint("Install it: pip install tensorboard\nOr name one in MTT_TENSORBOARD.")
			}
			elsewhere, ok := on.(*modal.Backend)
			if ok {
				fmt.Fprintln(command.ErrOrStderr(), "mtt-host: fetching event files; what is here already does not come again")
				if _, err := elsewhere.Mirror(command.Context(), args); err != nil {
					return err
				}
			}
			shown, err := logdir(on.Registry(), args)
			if err != nil {
				return err
			}
			board := append([]string{path, "--logdir", shown}, flags...)
			allowManyFiles()
			if ok {
				return watchMirror(command, elsewhere, args, board)
			}
			// In our place: then its signals, its output and its end are those of this command.
			err = syscall.Exec(path, board, os.Environ())
			return exit.Errorf(exit.NotFound, "cannot start %s: %w", path, err)
		},
	}
	common.add(command.Flags())
	return command
}

// allowManyFiles raises the limit of open files as far as this process may: TensorBoard's data server keeps each event
// file open, and a run has one for each attempt. The Go runtime raises it for itself alone, and gives a program that it
// starts the former limit, unless it was set. That it cannot be raised is for TensorBoard to say.
func allowManyFiles() {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err == nil {
		limit.Cur = limit.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	}
}

// How often what TensorBoard reads is brought up to date. It looks for more every five seconds itself; while nothing changes,
// each look doubles the pause, since calls are limited for an account.
const (
	mirrorSoonest = 5 * time.Second
	mirrorLatest  = 30 * time.Second
)

// watchMirror starts TensorBoard on a copy of runs that are elsewhere, and keeps that up to date until it ends.
func watchMirror(command *cobra.Command, on *modal.Backend, ids, args []string) error {
	signals, release := catch(command.Context())
	defer release()
	board := exec.Command(args[0], args[1:]...)
	board.Stdin, board.Stdout, board.Stderr = command.InOrStdin(), beneath(command.OutOrStdout()), command.ErrOrStderr()
	if err := board.Start(); err != nil {
		return exit.Errorf(exit.NotFound, "cannot start %s: %w", args[0], err)
	}
	defer context.AfterFunc(signals.stop, func() { _ = board.Process.Signal(syscall.SIGTERM) })()
	done := make(chan struct{})
	go func() {
		_ = board.Wait() // it says itself what is wrong
		close(done)
	}()
	stale, every := false, mirrorSoonest
	for {
		select {
		case <-time.After(every):
			changed, err := on.Mirror(signals.stop, ids)
			if every = min(2*every, mirrorLatest); changed {
				every = mirrorSoonest
			}
			switch was := stale; {
			case signals.stop.Err() != nil:
			case err == nil && was:
				stale = false
				fmt.Fprintln(command.ErrOrStderr(), "mtt-host: what TensorBoard shows is up to date again")
			case err != nil && !was:
				stale = true
				fmt.Fprintf(command.ErrOrStderr(), "warning: what TensorBoard shows is not up to date: %v\n", err)
			}
		case <-done:
			if code := board.ProcessState.ExitCode(); code != 0 && signals.stop.Err() == nil {
				return exit.Errorf(exit.Internal, "TensorBoard ended with exit code %d", code)
			}
			return nil
		}
	}
}

// logdir is a directory that holds the runs to show: that of all, or one of links, which the program in our place owns
// and the next command sweeps.
func logdir(registry *run.Registry, ids []string) (string, error) {
	if len(ids) == 0 {
		return filepath.Join(registry.Root(), "runs"), nil
	}
	dir, err := scratch.New()
	if err != nil {
		return "", err
	}
	for _, id := range ids {
		shown, err := registry.Get(id)
		if err == nil {
			err = os.Symlink(shown.Dir(), filepath.Join(dir.Path, id))
		}
		if err != nil && !errors.Is(err, fs.ErrExist) { // named twice
			return "", errors.Join(err, dir.Close())
		}
	}
	return dir.Path, dir.HandDown()
}
