package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/modal"
	"github.com/mtt-project/mtt/host/internal/eventlog"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/follow"
	"github.com/mtt-project/mtt/host/internal/run"
)

// attached is how much of what a run has said before is shown to one who attaches.
const attached = 10

// watchMemory is what the heap of a command that watches is kept to, in bytes: it needs a few MiB, and a plugin that prints
// without end makes garbage faster than it would be collected otherwise.
const watchMemory = 32 << 20

func newAttach() *cobra.Command {
	var common common
	command := &cobra.Command{
		Use:   "attach RUN",
		Short: "Watch a run as if it had been started here; Ctrl-C leaves it alone",
		Args:  exactly(1),
		RunE: func(command *cobra.Command, args []string) error {
			debug.SetMemoryLimit(watchMemory)
			view := newView(command.ErrOrStderr())
			common.patient, common.say = true, view.say
			on, watched, err := common.run(command, args[0])
			if err != nil {
				return err
			}
			defer on.Close()
			signals, release := catch(command.Context())
			defer release()
			signals.stop = whileRead(signals.stop, command.OutOrStdout(), command.ErrOrStderr())
			return attach(command, common, signals, release, view, on, watched)
		},
	}
	common.add(command.Flags())
	return command
}

// attach shows a run that somebody else lives until it has ended, or Ctrl-C.
func attach(command *cobra.Command, common common, signals signals, release func(), view *view, on backend.Backend, lived *run.Run) error {
	watch := common.watch(signals.stop, view, lived)
	for event, err := range watch.Events(signals.stop, attached, true) {
		if err != nil && signals.stop.Err() == nil {
			return err
		}
		if err == nil {
			view.show(event)
		}
	}
	if err := unread(signals.stop); err != nil {
		return err
	}
	interrupted := signals.stop.Err() != nil
	release()
	view.end()
	if !interrupted {
		return summarize(command, common, view, on, watch.Run(), endOf(watch.Run()))
	}
	left := exit.Errorf(exit.Signalled, "left run %s, which goes on", lived.ID)
	ctx, cancel := context.WithTimeout(command.Context(), leaving)
	defer cancel()
	if live, err := follow.New(ctx, lived, follow.Notices{}).Run().Live(); err != nil {
		left = exit.Errorf(exit.Signalled, "left run %s, and could not ask whether it goes on: %w", lived.ID, err)
	} else if !live {
		return summarize(command, common, view, on, lived, endOf(lived))
	}
	return left.Hint("Watch it again: mtt-host attach %s\nStop it: mtt-host stop %s", lived.ID, lived.ID)
}

// leaving is how long somebody who leaves waits for word whether the run goes on.
const leaving = 5 * time.Second

// watch watches a run that another process executes: what is wrong is said as it comes. On Modal a run outlives its
// supervisor, and only its user can give it another.
func (c *common) watch(ctx context.Context, view *view, r *run.Run) *follow.Watch {
	return follow.New(ctx, r, follow.Notices{
		Warn: view.warn, Say: view.say,
		Warning: func(text string) { view.warn("run " + r.ID + ": " + withOutputs(text, c.flags)) },
		Queued:  func(text string) { view.say("run " + r.ID + " is QUEUED: " + text) },
	})
}

func newLogs() *cobra.Command {
	var (
		common  common
		onwards bool
		last    int
		from    time.Time
	)
	command := &cobra.Command{
		Use:   "logs RUN",
		Short: "Print what a run's worker did and what its plugin printed",
		Args:  exactly(1),
		RunE: func(command *cobra.Command, args []string) error {
			view := newView(command.ErrOrStderr())
			defer view.end()
			common.patient, common.say = onwards, view.say
			on, logged, err := common.run(command, args[0])
			if err != nil {
				return err
			}
			defer on.Close()
			signals, release := catch(command.Context())
			defer release()
			signals.stop = whileRead(signals.stop, command.OutOrStdout())
			watch := follow.Once(logged)
			if onwards {
				watch = common.watch(signals.stop, view, logged)
			}
			for event, err := range watch.Events(signals.stop, last, onwards) {
				if err != nil {
					return err
				}
				if event.Time.Before(from) {
					continue
				}
				if err := printEvent(command, common, event); err != nil {
					return err
				}
			}
			return unread(signals.stop)
		},
	}
	common.add(command.Flags())
	flags := command.Flags()
	flags.BoolVarP(&onwards, "follow", "f", false, "go on with what comes, until the run has ended")
	lines := count(&last, follow.All, follow.All, math.MaxInt)
	lines.want = "0 or more, or -1 for all"
	lines.add(flags, "lines", "n", "begin with so many of the last lines; -1: all")
	since(&from, time.Now).add(flags, "since", "", "begin there: so long ago (10m), or a time (2026-01-02T15:04:05Z)")
	return command
}

func printEvent(command *cobra.Command, common common, event eventlog.Event) error {
	if common.json() {
		return json.NewEncoder(command.OutOrStdout()).Encode(event)
	}
	_, err := fmt.Fprintf(command.OutOrStdout(), "%s #%d  %s\n", event.Time.Local().Format(time.DateTime), event.Attempt, eventText(event))
	return err
}

func newWait() *cobra.Command {
	var common common
	command := &cobra.Command{
		Use:   "wait RUN...",
		Short: "Wait until runs have ended, and exit as the first of them that did not succeed",
		Args:  between(1, 1000),
		RunE: func(command *cobra.Command, args []string) error {
			view := newView(command.ErrOrStderr())
			defer view.end()
			common.patient, common.say = true, view.say
			on, err := common.open(command.Context(), modal.Nothing)
			if err != nil {
				return err
			}
			defer on.Close()
			var runs []*run.Run
			for _, id := range args {
				found, err := find(command.Context(), on.Registry(), id)
				if err != nil {
					return err
				}
				runs = append(runs, found)
			}
			signals, release := catch(command.Context())
			defer release()
			signals.stop = whileRead(signals.stop, command.OutOrStdout())
			var (
				infos []*run.Info
				first error
			)
			for _, waited := range runs {
				watch := common.watch(signals.stop, view, waited)
				switch err := watch.End(signals.stop); {
				case unread(signals.stop) != nil:
					return unread(signals.stop)
				case signals.stop.Err() != nil:
					return exit.Errorf(exit.Signalled, "run %s is not waited for any more", waited.ID)
				case err != nil:
					return err
				}
				waited = watch.Run()
				info, err := waited.Info()
				if err != nil {
					return err
				}
				infos = append(infos, info)
				if !common.json() {
					fmt.Fprintln(command.OutOrStdout(), resultText(info))
				}
				err = endOf(waited)
				if checkErr := checkResult(command, on, waited); checkErr != nil {
					err = checkErr
				}
				if first == nil {
					first = err
				}
			}
			if common.json() {
				if err := printList(command.OutOrStdout(), infos); err != nil {
					return err
				}
			}
			return first
		},
	}
	common.add(command.Flags())
	return command
}

// endOf is the error that a run which is not live has ended with; nil if it has succeeded.
func endOf(r *run.Run) error {
	info, err := r.Info()
	if err != nil {
		return err
	}
	switch {
	case info.State == run.Succeeded:
		return nil
	case info.ExitCode == nil: // nobody was left to record it
		return exit.Errorf(exit.Interrupted, "run %s is %s: %s", r.ID, info.State, run.Died)
	default:
		return exit.Errorf(*info.ExitCode, "run %s is %s: %s", r.ID, info.State, info.Error).Hint("%s", info.Next)
	}
}

func newStop() *cobra.Command {
	var (
		common common
		now    bool
	)
	command := &cobra.Command{
		Use:   "stop RUN",
		Short: "Have a run save a checkpoint and end, and wait until it has",
		Args:  exactly(1),
		RunE: func(command *cobra.Command, args []string) error {
			view := newView(command.ErrOrStderr())
			defer view.end()
			common.patient, common.say = true, view.say
			on, stopped, err := common.run(command, args[0])
			if err != nil {
				return err
			}
			defer on.Close()
			signals, release := catch(command.Context())
			defer release()
			watch := follow.New(signals.stop, stopped, follow.Notices{Warn: view.warn, Say: view.say})
			if err := watch.Stop(signals.stop, now); err != nil {
				return err
			}
			info, err := watch.Run().Info()
			if err != nil {
				return err
			}
			if common.json() {
				return printJSON(command.OutOrStdout(), info)
			}
			_, err = fmt.Fprintln(command.OutOrStdout(), stateText(info))
			return err
		},
	}
	common.add(command.Flags())
	command.Flags().BoolVar(&now, "now", false, "end it at once, without a checkpoint")
	return command
}
