package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/exit"
)

// checkpointInfo is a checkpoint as JSON.
type checkpointInfo struct {
	Schema    string               `json:"schema"` // mtt.checkpoint/v1
	ID        string               `json:"id"`
	Step      uint64               `json:"step"`
	SizeBytes uint64               `json:"size_bytes"`
	Reason    checkpoint.Reason    `json:"reason"`
	Created   time.Time            `json:"created"`
	Verified  *bool                `json:"verified"` // null: not looked at
	StateHash string               `json:"state_hash"`
	Error     string               `json:"error,omitempty"`
	Manifest  *checkpoint.Manifest `json:"manifest,omitempty"`
}

func newCheckpoints() *cobra.Command {
	command := &cobra.Command{
		Use:   "checkpoints",
		Short: "List, show and verify the checkpoints of a run",
		Args:  noSuchCommand,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newCheckpointsList(), newCheckpointsShow(), newCheckpointsVerify())
	return command
}

func newCheckpointsList() *cobra.Command {
	var common common
	command := &cobra.Command{
		Use:   "ls RUN",
		Short: "List the checkpoints of a run, the newest first",
		Args:  exactly(1),
		RunE: func(command *cobra.Command, args []string) error {
			entries, _, err := entriesOf(command, common, args[0])
			if err != nil {
				return err
			}
			infos := make([]checkpointInfo, len(entries))
			for i, entry := range entries {
				infos[i] = infoOf(entry)
			}
			return printCheckpoints(command, common, infos)
		},
	}
	common.add(command.Flags())
	return command
}

func newCheckpointsShow() *cobra.Command {
	var common common
	command := &cobra.Command{
		Use:   "show RUN [CHECKPOINT]",
		Short: "Show what a checkpoint holds; the newest by default",
		Args:  between(1, 2),
		RunE: func(command *cobra.Command, args []string) error {
			entries, _, err := entriesOf(command, common, args[0])
			if err != nil {
				return err
			}
			for _, entry := range entries {
				if len(args) == 2 && entry.ID != args[1] {
					continue
				}
				if entry.Err != nil {
					return exit.Errorf(exit.BadCheckpoint, "%w", entry.Err)
				}
				info := infoOf(entry)
				info.Manifest = entry.Manifest
				return printJSON(command.OutOrStdout(), info)
			}
			return exit.Errorf(exit.NotFound, "run %s has no such checkpoint", args[0]).
				Hint("See which there are: mtt-host checkpoints ls %s", args[0])
		},
	}
	common.add(command.Flags())
	return command
}

func newCheckpointsVerify() *cobra.Command {
	var common common
	command := &cobra.Command{
		Use:   "verify RUN",
		Short: "Read every checkpoint of a run back and check every hash",
		Args:  exactly(1),
		RunE: func(command *cobra.Command, args []string) error {
			entries, store, err := entriesOf(command, common, args[0])
			if err != nil {
				return err
			}
			var bad []error
			infos := make([]checkpointInfo, len(entries))
			for i, entry := range entries {
				_, err := store.Verify(command.Context(), entry.ID)
				var corrupt *checkpoint.CorruptError
				if err != nil && !errors.As(err, &corrupt) {
					return err
				}
				infos[i] = infoOf(entry)
				good := err == nil
				infos[i].Verified = &good
				if err != nil {
					infos[i].Error = err.Error()
					bad = append(bad, err)
				}
			}
			if err := printCheckpoints(command, common, infos); err != nil {
				return err
			}
			if len(bad) > 0 {
				return exit.Errorf(exit.BadCheckpoint, "%d of %d checkpoints are bad: %w", len(bad), len(entries), errors.Join(bad...)).
					Hint("A resume skips them and goes on from the newest good one.")
			}
			return nil
		},
	}
	common.add(command.Flags())
	return command
}

func entriesOf(command *cobra.Command, common common, id string) ([]checkpoint.Entry, checkpoint.Store, error) {
	on, of, err := common.run(command, id) // closed with the process
	if err != nil {
		return nil, nil, err
	}
	store := on.Checkpoints(command.Context(), of)
	listed, err := checkpoint.Entries(command.Context(), store)
	if err != nil {
		return nil, nil, err
	}
	entries := slices.Collect(listed)
	if len(entries) == 0 {
		fmt.Fprintf(command.ErrOrStderr(), "run %s has no checkpoint\n", id)
	}
	return entries, store, nil
}

func infoOf(entry checkpoint.Entry) checkpointInfo {
	info := checkpointInfo{Schema: "mtt.checkpoint/v1", ID: entry.ID, Step: entry.Step}
	if entry.Err != nil {
		info.Error = entry.Err.Error()
		return info
	}
	manifest := entry.Manifest
	info.SizeBytes, info.Reason, info.Created, info.StateHash = manifest.Size(), manifest.Reason, manifest.Created, manifest.StateHash
	return info
}

func printCheckpoints(command *cobra.Command, common common, infos []checkpointInfo) error {
	if common.json() {
		return printList(command.OutOrStdout(), infos)
	}
	rows := [][]string{{"CHECKPOINT", "STEP", "SIZE", "REASON", "CREATED", "VERIFIED", "STATE HASH"}}
	for _, info := range infos {
		verified := "not checked"
		switch {
		case info.Error != "":
			verified = "BAD" // why is said on stderr
		case info.Verified != nil:
			verified = "good"
		}
		rows = append(rows, []string{
			info.ID, strconv.FormatUint(info.Step, 10), backend.SizeText(int64(info.SizeBytes)), string(info.Reason),
			info.Created.Local().Format(time.DateTime), verified, fmt.Sprintf("%.12s", info.StateHash),
		})
	}
	return printTable(command.OutOrStdout(), rows)
}
