package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/transfer"
)

// transferInfo is what a command moved, as JSON.
type transferInfo struct {
	Schema    string `json:"schema"` // mtt.transfer/v1
	Files     int64  `json:"files"`
	Bytes     int64  `json:"bytes"`
	Unchanged int64  `json:"unchanged"` // files that were there already
}

func newVolumeGet() *cobra.Command {
	var options volumeOptions
	var force bool
	command := &cobra.Command{
		Use:   "get VOL REMOTE [LOCAL|-]",
		Short: "Fetch a file or a directory of a volume; - writes a file to stdout",
		Long: `Fetch a file or a directory of a volume.

A directory comes to LOCAL, which is . by default, under its own name, and a file too where LOCAL is a directory; else
LOCAL is the file. What exists with the same content stays. A file of which the one in the volume is a continuation is
continued in place, so that a get can be repeated while a run goes on. One with another content is replaced only with
--force, and what is no regular file never. Files keep their permissions where the volume has them, and never get wider
ones. A get that was killed is gone on with by the same command. With - as LOCAL, the content of a file is written to
stdout.`,
		Example: "  mtt-host volume get ./outputs runs/digits-20261123-5kq2vd",
		Args:    between(2, 3),
		RunE: func(command *cobra.Command, args []string) error {
			local := append(args, ".")[2]
			if local == "-" && options.json() {
				return exit.Errorf(exit.Usage, "-o json and - both want stdout").Hint("Name a file to write to, or leave -o out.")
			}
			return options.with(command, args[0], func(ctx context.Context, volume backend.Volume) error {
				if local == "-" {
					return (&transfer.Transfer{Volume: volume}).Print(ctx, args[1], command.OutOrStdout())
				}
				return options.transfer(command, volume, func(t *transfer.Transfer) error { return t.Get(ctx, args[1], local, force) })
			})
		},
	}
	options.add(command)
	command.Flags().BoolVarP(&force, "force", "f", false, "replace local files that have another content")
	return command
}

func newVolumeSync() *cobra.Command {
	var options volumeOptions
	command := &cobra.Command{
		Use:   "sync VOL REMOTE LOCAL",
		Short: "Bring what a directory of a volume has into a directory, where only what is new is moved",
		Long: `Bring what a directory of a volume has into the directory LOCAL, which becomes its mirror: files there that have
another content are replaced.

Only what is new is moved: a file that has grown is continued in place, so that a TensorBoard that shows it follows. What
was there is compared, by digests, so that nothing but its last 32 KiB moves for that; a file of which another part has
changed is fetched whole. Where Modal tells no digests, a file that has grown is fetched whole too, but for event files and
.jsonl files, of which the first 4 and the last 32 KiB are compared. A file of the same size and time is taken for the same.
Nothing is removed from LOCAL.`,
		Example: "  mtt-host volume sync ./outputs runs ./runs",
		Args:    exactly(3),
		RunE: func(command *cobra.Command, args []string) error {
			return options.with(command, args[0], func(ctx context.Context, volume backend.Volume) error {
				return options.transfer(command, volume, func(t *transfer.Transfer) error { return t.Sync(ctx, args[1], args[2]) })
			})
		},
	}
	options.add(command)
	return command
}

func newVolumePut() *cobra.Command {
	var options volumeOptions
	var force bool
	command := &cobra.Command{
		Use:   "put VOL LOCAL [REMOTE]",
		Short: "Put a file or a directory into a volume",
		Long: `Put a file or a directory into a volume, at the path REMOTE; below REMOTE under its own name if that ends in a slash,
as it does by default.

What exists with the same content stays, and with another content is replaced only with --force. Directories in which
there is no file are made too, except on Modal, whose volumes have only those of their files: there it is said. A put that
was killed is gone on with by the same command.`,
		Example: "  mtt-host volume put ./outputs ./data /data",
		Args:    between(2, 3),
		RunE: func(command *cobra.Command, args []string) error {
			return options.with(command, args[0], func(ctx context.Context, volume backend.Volume) error {
				return options.transfer(command, volume, func(t *transfer.Transfer) error {
					return t.Put(ctx, args[1], append(args, "/")[2], force)
				})
			})
		},
	}
	options.add(command)
	command.Flags().BoolVarP(&force, "force", "f", false, "replace files that are there with another content")
	return command
}

// transfer copies, shows progress on a terminal, and prints what was moved.
func (o *volumeOptions) transfer(command *cobra.Command, volume backend.Volume, do func(*transfer.Transfer) error) error {
	t := &transfer.Transfer{Volume: volume, Skip: func(path, reason string) {
		fmt.Fprintf(command.ErrOrStderr(), "warning: left out %q, %s\n", path, reason)
	}}
	done := showProgress(newView(command.ErrOrStderr()), t)
	err := do(t)
	done()
	if err != nil {
		return err
	}
	info := transferInfo{Schema: "mtt.transfer/v1"}
	info.Files, info.Bytes, info.Unchanged = t.Moved()
	if o.json() {
		return printJSON(command.OutOrStdout(), info)
	}
	fmt.Fprintf(command.ErrOrStderr(), "%s, %s; %d unchanged\n", filesText(info.Files), backend.SizeText(info.Bytes), info.Unchanged)
	return nil
}

func filesText(n int64) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}
