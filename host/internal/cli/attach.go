package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/modal"
	"github.com/mtt-project/mtt/host/internal/eventlog"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

// attached is how much of what a run has said before is shown to one who attaches.
const attached = 10

func newAttach() *cobra.Command {
	var common common
	command := &cobra.Command{
		Use:   "attach RUN",
		Short: "Watch a run as if it had been started here; Ctrl-C leaves it alone",
		Args:  exactly(1),
		RunE: func(command *cobra.Command, args []string) error {
			on, watched, err := common.run(command.Context(), args[0])
			if err != nil {
				return err
			}
			defer on.Close()
			signals, release := catch(command.Context())
			defer release()
			signals.stop = whileRead(signals.stop, command.OutOrStdout(), command.ErrOrStderr())
			view := newView(command.ErrOrStderr())
			return follow(command, common, signals, release, view, on, watched)
		},
	}
	common.add(command.Flags())
	return command
}

// follow shows a run that somebody else lives until it has ended, or Ctrl-C.
func follow(command *cobra.Command, common common, signals signals, release func(), view *view, on backend.Backend, lived *run.Run) error {
	watched := lived.Watched(signals.stop, view.warn, view.say)
	common.warnOf(signals.stop, watched, view.warn)
	for event, err := range watched.Events(signals.stop, attached, true) {
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
		return summarize(command, common, view, on, watched, endOf(watched))
	}
	left := exit.Errorf(exit.Signalled, "left run %s, which goes on", lived.ID)
	ctx, cancel := context.WithTimeout(command.Context(), leaving)
	defer cancel()
	quiet := func(string) {}
	if live, err := lived.Watched(ctx, quiet, quiet).Live(); err != nil {
		left = exit.Errorf(exit.Signalled, "left run %s, and could not ask whether it goes on: %w", lived.ID, err)
	} else if !live {
		return summarize(command, common, view, on, lived, endOf(lived))
	}
	return left.Hint("Watch it again: mtt-host attach %s\nStop it: mtt-host stop %s", lived.ID, lived.ID)
}

// leaving is how long somebody who leaves waits for word whether the run goes on.
const leaving = 5 * time.Second

// warningEvery is how often it is looked whether there is something to warn of.
const warningEvery = 5 * time.Second

// warnOf says what is wrong with a live run, now and as it comes, each text once: on Modal a run outlives its supervisor,
// and only a person can give it another.
func (c *common) warnOf(ctx context.Context, r *run.Run, say func(string)) {
	if c.backend != onModal {
		return
	}
	said := ""
	look := func() {
		if info, err := r.Info(); err == nil && info.Warning != "" && info.Warning != said {
			said = info.Warning
			say("run " + r.ID + ": " + withOutputs(said, c.flags))
		}
	}
	go func() {
		for {
			look()
			select {
			case <-time.After(warningEvery):
			case <-ctx.Done():
				return
			}
		}
	}()
}

func newLogs() *cobra.Command {
	var (
		common common
		follow bool
		last   int
		from   time.Time
	)
	command := &cobra.Command{
		Use:   "logs RUN",
		Short: "Print what a run's worker did and what its plugin printed",
		Args:  exactly(1),
		RunE: func(command *cobra.Command, args []string) error {
			on, logged, err := common.run(command.Context(), args[0])
			if err != nil {
				return err
			}
			defer on.Close()
			view := newView(command.ErrOrStderr())
			defer view.end()
			signals, release := catch(command.Context())
			defer release()
			signals.stop = whileRead(signals.stop, command.OutOrStdout())
			if follow {
				logged = logged.Watched(signals.stop, view.warn, view.say)
				common.warnOf(signals.stop, logged, view.warn)
			}
			for event, err := range logged.Events(signals.stop, last, follow) {
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
	flags.BoolVarP(&follow, "follow", "f", false, "go on with what comes, until the run has ended")
	lines := count(&last, run.All, run.All, math.MaxInt)
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
			view := newView(command.ErrOrStderr())
			defer view.end()
			signals, release := catch(command.Context())
			defer release()
			signals.stop = whileRead(signals.stop, command.OutOrStdout())
			var (
				infos []*run.Info
				first error
			)
			for _, waited := range runs {
				waited = waited.Watched(signals.stop, view.warn, view.say)
				common.warnOf(signals.stop, waited, view.warn)
				if err := untilEnd(signals.stop, waited); err != nil {
					return err
				}
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

// endPolling is how often it is looked whether a run is still live.
const endPolling = 100 * time.Millisecond

// untilEnd waits until nobody lives the run any more.
func untilEnd(ctx context.Context, r *run.Run) error {
	for {
		live, err := r.Live()
		if err == nil && !live {
			err = r.Refresh(ctx)
		}
		switch {
		case unread(ctx) != nil:
			return unread(ctx)
		case ctx.Err() != nil:
			return exit.Errorf(exit.Signalled, "run %s is not waited for any more", r.ID)
		case err != nil || !live:
			return err
		}
		select {
		case <-time.After(endPolling):
		case <-ctx.Done():
		}
	}
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
			on, stopped, err := common.run(command.Context(), args[0])
			if err != nil {
				return err
			}
			defer on.Close()
			view := newView(command.ErrOrStderr())
			defer view.end()
			signals, release := catch(command.Context())
			defer release()
			stopped = stopped.Watched(signals.stop, view.warn, view.say)
			if err := stop(signals.stop, stopped, now); err != nil {
				return err
			}
			info, err := stopped.Info()
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

// remindEvery is how often a run elsewhere is reminded of a request: whoever was to see to it may have died meanwhile.
const remindEvery = 5 * time.Second

// stopPolling is how often what has become of a request is looked for where the run is elsewhere.
const stopPolling = time.Second

// stop asks until the run has ended: a request that comes between two lives of a run is lost with the first, and the one
// that is found may be what an earlier life has ended of.
func stop(ctx context.Context, r *run.Run, now bool) error {
	var asked, refreshed time.Time
	for {
		live, err := r.Live()
		if err == nil && (!live || time.Since(refreshed) >= stopPolling) {
			refreshed = time.Now()
			err = r.Refresh(ctx)
		}
		if err == nil && live {
			asked, err = ask(r, now, asked)
		}
		switch {
		case ctx.Err() != nil && asked.IsZero():
			return exit.Errorf(exit.Signalled, "left before run %s was asked to stop", r.ID)
		case ctx.Err() != nil:
			return exit.Errorf(exit.Signalled, "run %s was asked to stop, and has not ended yet", r.ID)
		case err != nil || !live:
			return err
		}
		select {
		case <-time.After(endPolling):
		case <-ctx.Done():
		}
	}
}

// ask asks a live run to stop, unless somebody has, of which it is reminded now and then. It returns when it was last done.
func ask(r *run.Run, now bool, last time.Time) (time.Time, error) {
	request, err := r.StopRequest()
	switch {
	case err != nil:
		return last, err
	case !request.Pending(), now && !request.Now:
		return time.Now(), r.AskToStop(run.StopRequest{Now: now, Code: exit.Stopped})
	case time.Since(last) >= remindEvery:
		return time.Now(), r.RemindToStop(*request)
	default:
		return last, nil
	}
}
