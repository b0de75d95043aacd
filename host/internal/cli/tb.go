package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

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
			registry, err := common.registry()
			if err != nil {
				return err
			}
			var flags []string
			if n := command.ArgsLenAtDash(); n >= 0 {
				args, flags = args[:n], args[n:]
			}
			shown, err := logdir(registry, args)
			if err != nil {
				return err
			}
			path, ok := tensorboard.Find()
			if !ok {
				return exit.Errorf(exit.NotFound, "there is no TensorBoard here").
					Hint("Install it: pip install tensorboard\nOr name one in MTT_TENSORBOARD.")
			}
			// In our place: then its signals, its output and its end are those of this command.
			err = syscall.Exec(path, append([]string{path, "--logdir", shown}, flags...), os.Environ())
			return exit.Errorf(exit.NotFound, "cannot start %s: %w", path, err)
		},
	}
	common.add(command.Flags())
	return command
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
