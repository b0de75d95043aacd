package cli

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/local"
	"github.com/mtt-project/mtt/host/internal/backend/modal"
	"github.com/mtt-project/mtt/host/internal/backend/partial"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/transfer"
)

func newVolume() *cobra.Command {
	command := &cobra.Command{
		Use:   "volume",
		Short: "List, fetch, put and remove the files of a volume",
		Long: `List, fetch, put and remove the files of a volume.

A volume is a directory, such as ./outputs, or with -b modal one of Modal's, by
its name.`,
		Args: noSuchCommand,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newVolumeList(), newVolumeGet(), newVolumePut(), newVolumeRemove(), newVolumeSync())
	return command
}

// volumeOptions are the options of every command about a volume.
type volumeOptions struct{ common }

func (o *volumeOptions) add(command *cobra.Command) {
	o.addFormat(command.Flags())
	o.addBackend(command.Flags())
}

// with opens a volume and does something with it, which a signal ends.
func (o *volumeOptions) with(command *cobra.Command, name string, do func(ctx context.Context, volume backend.Volume) error) error {
	if err := o.check(); err != nil {
		return err
	}
	signals, release := catch(command.Context())
	defer release()
	volume, err := o.open(signals.stop, name)
	if err == nil {
		err = errors.Join(do(signals.stop, volume), volume.Close())
	}
	if signals.stop.Err() != nil {
		return context.Cause(signals.stop)
	}
	return o.explain(err, name)
}

func (o *volumeOptions) open(ctx context.Context, name string) (backend.Volume, error) {
	if o.backend == onModal {
		volume, err := modal.OpenVolume(ctx, o.modal(name, modal.Nothing))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, exit.Errorf(exit.NotFound, "no volume %s on Modal", name).
				Hint("See which there are: modal volume list\nMake it: modal volume create %s --version 2\nFor those of another environment, add --modal-env NAME.", exit.ShellText(name))
		}
		return volume, err
	}
	volume, err := local.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, exit.Errorf(exit.NotFound, "no volume %s: there is no such directory", name).
			Hint("Make it: mkdir -p %s\nOr, if it is one of Modal's, add -b modal.", exit.ShellText(name))
	}
	return volume, err
}

// explain gives an error about a file the exit code that it has, and what to do about it.
func (o *volumeOptions) explain(err error, name string) error {
	if err == nil || exit.Of(err) != exit.Internal {
		return err
	}
	volume := exit.ShellText(name)
	_, isLocal := errors.AsType[*transfer.LocalError](err)
	switch {
	case isLocal && errors.Is(err, fs.ErrNotExist):
		return exit.Errorf(exit.NotFound, "%w", err).Hint("It is this machine that has no such file. The arguments are: mtt-host volume put VOL LOCAL [REMOTE]")
	case isLocal:
		return exit.Errorf(exit.Usage, "%w", err)
	case errors.Is(err, fs.ErrNotExist):
		return exit.Errorf(exit.NotFound, "%w", err).Hint("See what there is: mtt-host volume ls %s", volume)
	case errors.Is(err, fs.ErrExist):
		return exit.Errorf(exit.Usage, "%w, with another content", err).Hint("To replace files, add --force. A directory and a file cannot replace each other.")
	case errors.Is(err, fs.ErrInvalid):
		return exit.Errorf(exit.Usage, "%w", err).Hint("A path is one below the root of the volume, without \"..\".")
	case errors.Is(err, backend.ErrIsDirectory):
		return exit.Errorf(exit.Usage, "%w", err).Hint("To remove a directory, add -r; to fetch one, name a directory to put it in.")
	case errors.Is(err, backend.ErrNotFile):
		return exit.Errorf(exit.Usage, "%w", err).Hint("Links, pipes and devices are neither copied nor replaced. Name another path, or remove it; to write a file into a pipe: mtt-host volume get VOL REMOTE - > LOCAL")
	case errors.Is(err, backend.ErrName):
		return exit.Errorf(exit.Usage, "%w", err).Hint("Rename the file. Nothing was sent.")
	case errors.Is(err, backend.ErrFull):
		return exit.Errorf(exit.Usage, "%w", err).Hint("Make room, and repeat the command: it goes on.")
	case errors.Is(err, backend.ErrChanged):
		return exit.Errorf(exit.Usage, "%w", err).Hint("Repeat the command when nobody writes the file.")
	case errors.Is(err, partial.ErrBusy):
		return exit.Errorf(exit.StillRunning, "%w", err).Hint("Wait until the other command has ended, and repeat this one.")
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok { // a file that cannot be read or written
		return exit.Errorf(exit.Usage, "%w", err)
	}
	return err
}

// fileInfo is a file of a volume as JSON.
type fileInfo struct {
	Schema    string       `json:"schema"` // mtt.file/v1
	Path      string       `json:"path"`
	Type      backend.Type `json:"type"`
	SizeBytes int64        `json:"size_bytes"`
	Modified  time.Time    `json:"modified"`
}

func newVolumeList() *cobra.Command {
	var options volumeOptions
	var recursive bool
	command := &cobra.Command{
		Use:     "ls VOL [PATH]",
		Short:   "List what a volume, or a directory of it, holds",
		Example: "  mtt-host volume ls ./outputs runs",
		Args:    between(1, 2),
		RunE: func(command *cobra.Command, args []string) error {
			return options.with(command, args[0], func(ctx context.Context, volume backend.Volume) error {
				entries, err := volume.List(ctx, append(args, "")[1], recursive)
				if err != nil {
					return err
				}
				return options.printFiles(command, entries)
			})
		},
	}
	options.add(command)
	command.Flags().BoolVarP(&recursive, "recursive", "r", false, "list what is in directories too")
	return command
}

func (o *volumeOptions) printFiles(command *cobra.Command, entries []backend.Entry) error {
	if o.json() {
		infos := make([]fileInfo, len(entries))
		for i, entry := range entries {
			infos[i] = fileInfo{"mtt.file/v1", entry.Path, entry.Type, entry.Size, entry.Modified.UTC()}
		}
		return printList(command.OutOrStdout(), infos)
	}
	rows := [][]string{{"PATH", "TYPE", "SIZE", "MODIFIED"}}
	for _, entry := range entries {
		size := ""
		if entry.Type == backend.File {
			size = backend.SizeText(entry.Size)
		}
		rows = append(rows, []string{entry.Path, string(entry.Type), size, entry.Modified.Local().Format(time.DateTime)})
	}
	return printTable(command.OutOrStdout(), rows)
}
