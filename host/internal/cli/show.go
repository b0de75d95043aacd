package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/modal"
	"github.com/mtt-project/mtt/host/internal/exactness"
	"github.com/mtt-project/mtt/host/internal/run"
)

func newList() *cobra.Command {
	var common common
	command := &cobra.Command{
		Use:   "ls",
		Short: "List the runs",
		Args:  exactly(0),
		RunE: func(command *cobra.Command, _ []string) error {
			on, err := common.open(command.Context(), modal.Nothing)
			if err != nil {
				return err
			}
			defer on.Close()
			registry := on.Registry()
			if err := registry.Refresh(command.Context(), ""); err != nil {
				return err
			}
			runs, broken, err := registry.List()
			if err != nil {
				return err
			}
			all, errs := infosOf(runs)
			infos := make([]*run.Info, 0, len(runs))
			for i, info := range all {
				if errs[i] != nil {
					broken = append(broken, run.Broken{Run: runs[i], Err: errs[i]})
					continue
				}
				infos = append(infos, info)
				if info.Warning != "" {
					fmt.Fprintf(command.ErrOrStderr(), "warning: run %s: %s\n", info.RunID, withOutputs(info.Warning, command.Flags()))
				}
			}
			for _, unreadable := range broken {
				fmt.Fprintf(command.ErrOrStderr(), "warning: run %s: %v\n", unreadable.ID, unreadable.Err)
			}
			if common.json() {
				return printList(command.OutOrStdout(), infos)
			}
			return printRuns(command.OutOrStdout(), infos)
		},
	}
	common.add(command.Flags())
	return command
}

// askedAtOnce is of how many runs it is asked at once how they are: on Modal, each whose supervisor left no word costs a call.
const askedAtOnce = 16

// infosOf reads the state of each run.
func infosOf(runs []*run.Run) (infos []*run.Info, errs []error) {
	infos, errs = make([]*run.Info, len(runs)), make([]error, len(runs))
	var group errgroup.Group
	group.SetLimit(askedAtOnce)
	for i, r := range runs {
		group.Go(func() error {
			infos[i], errs[i] = r.Info()
			return nil
		})
	}
	_ = group.Wait()
	return infos, errs
}

func printRuns(to io.Writer, infos []*run.Info) error {
	rows := [][]string{{"RUN", "EXPERIMENT", "STATE", "STEP", "ATTEMPTS", "CREATED", "RESULT"}}
	for _, info := range infos {
		rows = append(rows, []string{
			info.RunID, info.Experiment, string(info.State), stepText(info), strconv.Itoa(len(info.Attempts)),
			info.Created.Local().Format(time.DateTime), metricsText(info.Result),
		})
	}
	return printTable(to, rows)
}

func newShow() *cobra.Command {
	var common common
	command := &cobra.Command{
		Use:   "show RUN",
		Short: "Show a run with its attempts",
		Args:  exactly(1),
		RunE: func(command *cobra.Command, args []string) error {
			on, shown, err := common.run(command, args[0])
			if err != nil {
				return err
			}
			defer on.Close()
			info, err := shown.Info()
			if err != nil {
				return err
			}
			if common.json() {
				err = printJSON(command.OutOrStdout(), info)
			} else {
				info.Warning, info.Next = withOutputs(info.Warning, command.Flags()), withOutputs(info.Next, command.Flags())
				err = printRun(command.OutOrStdout(), shown, info)
			}
			if err != nil {
				return err
			}
			return checkResult(command, on, shown)
		},
	}
	common.add(command.Flags())
	return command
}

// checkResult holds the result of a run against its final checkpoint, and warns where that cannot be done.
func checkResult(command *cobra.Command, on backend.Backend, of *run.Run) error {
	unchecked, err := of.CheckResult(command.Context(), on.Checkpoints(command.Context(), of))
	if unchecked != "" {
		fmt.Fprintln(command.ErrOrStderr(), "warning: "+unchecked)
	}
	return err
}

func stopText(asked *run.StopAsked) string {
	if asked == nil {
		return ""
	}
	how := "asked for by "
	if asked.Now {
		how = "at once, asked for by "
	}
	return how + asked.By + " at " + asked.Time.Local().Format(time.DateTime)
}

func printRun(to io.Writer, shown *run.Run, info *run.Info) error {
	var config bytes.Buffer
	if err := json.Indent(&config, info.Config, "", "  "); err != nil {
		return err
	}
	rows := [][]string{
		{"run", info.RunID},
		{"experiment", info.Experiment + " " + shown.Spec.Version},
		{"state", string(info.State)},
		{"step", stepText(info)},
		{"seed", strconv.FormatUint(info.Seed, 10)},
		{"device", info.Device},
		{"exact", exactText(info)},
		{"result", metricsText(info.Result)},
		{"created", info.Created.Local().Format(time.DateTime)},
		{"plugin", shown.Spec.Plugin.Path},
		{"digest", shown.Spec.Plugin.SHA256},
		{"backend", info.Backend},
	}
	for _, row := range [][]string{
		{"directory", info.Directory}, {"waiting", info.Waiting}, {"stop", stopText(info.StopAsked)}, {"warning", info.Warning},
		{"app", info.AppID}, {"dashboard", info.Dashboard}, {"sandboxes", strings.Join(info.SandboxIDs, " ")},
	} {
		if row[1] != "" {
			rows = append(rows, row)
		}
	}
	if info.Error != "" {
		rows = withLines(rows, "error", info.Error)
	}
	for line := range strings.Lines(info.Next) {
		rows = append(rows, []string{"what to do", strings.TrimSpace(line)})
	}
	if err := printTable(to, rows); err != nil {
		return err
	}
	fmt.Fprintf(to, "\nconfiguration %s\n\n", config.String())
	if err := printKey(to, info.Exactness); err != nil {
		return err
	}
	attempts := [][]string{{"ATTEMPT", "STATE", "FROM STEP", "TO STEP", "STARTED", "CAUSE"}}
	for _, attempt := range info.Attempts {
		attempts = append(attempts, []string{
			strconv.Itoa(attempt.Attempt), string(attempt.State), strconv.FormatUint(attempt.ResumedStep, 10),
			strconv.FormatUint(attempt.Step, 10), attempt.Started.Local().Format(time.DateTime), firstLine(attempt.Cause),
		})
	}
	return printTable(to, attempts)
}

// exactText says who vouches that the run equals one that was left alone.
func exactText(info *run.Info) string {
	if info.Exact {
		return "claimed by the author"
	}
	return "no, because " + info.ExactReason
}

// printKey prints what the newest attempt trains on, as far as that can change a bit.
func printKey(to io.Writer, key *exactness.Key) error {
	if key == nil {
		return nil
	}
	fmt.Fprintln(to, "exactness key")
	var rows [][]string
	for _, line := range key.Lines() {
		rows = append(rows, []string{"  " + line[0], line[1]})
	}
	if err := printTable(to, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintln(to)
	return err
}

func stepText(info *run.Info) string {
	if info.TotalSteps == 0 {
		return strconv.FormatUint(info.Step, 10)
	}
	return fmt.Sprintf("%d/%d", info.Step, info.TotalSteps)
}
