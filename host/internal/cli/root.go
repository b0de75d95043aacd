// Package cli is the command line of mtt-host: it parses, calls, and prints.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/limit"
	"github.com/mtt-project/mtt/host/internal/plugin"
	"github.com/mtt-project/mtt/host/internal/scratch"
)

// Main runs the command line and returns the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	// A write beyond the file-size limit then fails with EFBIG, which is an error like a full disk, instead of ending
	// the host and with it the attempt.
	signal.Ignore(syscall.SIGXFSZ)
	// And a reader of our output that has gone, such as tee after Ctrl-C, must not end the training it watched.
	signal.Ignore(syscall.SIGPIPE)
	// go-plugin says there what the outcome of an attempt says better.
	log.SetOutput(io.Discard)
	root := newRoot()
	root.SetArgs(args)
	out := &output{to: stdout}
	root.SetOut(out)
	root.SetErr(stderr)
	command, err := root.ExecuteContextC(context.Background())
	lost := out.failure()
	switch {
	case err == nil:
		err = lost
	case lost != nil && !errors.Is(err, lost) && !errors.Is(lost, syscall.EPIPE): // which the command's own error does not say
		printError(stderr, lost, command.Flags())
	}
	if err == nil {
		return int(exit.OK)
	}
	if errors.Is(err, syscall.EPIPE) { // head, or less, has seen enough
		return brokenPipe
	}
	if limited := limit.Explain(err); limited != nil && exit.Of(err) == exit.Internal {
		err = limited
	}
	printError(stderr, err, command.Flags())
	return int(exit.Of(err))
}

// brokenPipe is what a shell makes of a program that SIGPIPE has ended.
const brokenPipe = 128 + int(syscall.SIGPIPE)

// printError prints an error once, with what to do about it, for a command that had these flags.
func printError(to io.Writer, err error, flags *pflag.FlagSet) {
	fmt.Fprintf(to, "mtt-host: %s\n", escapeLines(err.Error()))
	if next := exit.NextOf(err); next != "" {
		fmt.Fprintln(to, escapeLines(withOutputs(strings.TrimRight(next, "\n"), flags)))
	}
}

// withOutputs completes the commands in a text, each of which is the end of its line: they are to work on the runs and
// volumes that a command with these flags worked on.
func withOutputs(text string, flags *pflag.FlagSet) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		command := ofRuns.FindString(line)
		switch {
		case command == "":
		case strings.HasSuffix(command, "volume"):
			lines[i] += lacking(line, flags, "backend", "modal-env")
		default:
			lines[i] += lacking(line, flags, "backend", "outputs", "volume", "modal-env")
		}
	}
	return strings.Join(lines, "\n")
}

// ofRuns finds a command that works on outputs or on a volume.
var ofRuns = regexp.MustCompile(`mtt-host (run|resume|attach|logs|wait|stop|tb|ls|show|checkpoints|volume)\b`)

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "mtt-host",
		Short:         "Run machine-learning experiments that survive being killed",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noSuchCommand,
		RunE:          func(command *cobra.Command, _ []string) error { return command.Help() },
		PersistentPreRunE: func(command *cobra.Command, _ []string) error {
			if err := limit.Check(); err != nil {
				return err
			}
			if err := fromEnvironment(command); err != nil {
				return err
			}
			sweep(command)
			return nil
		},
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
			err = wrongValue("--"+invalid.GetFlag().Name+" ", invalid.GetValue(), invalid.GetFlag())
		}
		return exit.Errorf(exit.Usage, "%w", err).Hint("See: %s --help", command.CommandPath())
	})
	root.AddCommand(
		newRun(), newResume(), newSupervise(), newSuperviseModal(), newWork(), newBuildOnModal(), newAttach(), newLogs(), newWait(), newStop(), newTensorBoard(), newList(), newShow(), newCheckpoints(), newVolume(), newPlugin(), newDoctor(), newVersion(),
	)
	return root
}

// sweep removes what killed commands left behind, in TMPDIR and where this one has its outputs. It is nothing that the
// command itself could fail of.
func sweep(command *cobra.Command) {
	var installing []string
	if outputs := command.Flags().Lookup("outputs"); outputs != nil {
		installing = append(installing, plugin.Installing(filepath.Join(outputs.Value.String(), "bin")))
	}
	if err := scratch.Sweep(installing...); err != nil {
		fmt.Fprintf(command.ErrOrStderr(), "warning: %v\n", err)
	}
}

// noSuchCommand refuses an argument that names no command, and suggests the nearest.
func noSuchCommand(command *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := exit.Errorf(exit.Usage, "no command %q", strings.TrimSpace(command.CommandPath()+" "+args[0]))
	command.SuggestionsMinimumDistance = 2 // two wrong letters
	if near := command.SuggestionsFor(args[0]); len(near) > 0 {
		return err.Hint("Did you mean %s?", strings.Join(near, " or "))
	}
	return err.Hint("See: %s --help", command.CommandPath())
}

// exactly is cobra.ExactArgs with our exit code.
func exactly(n int) cobra.PositionalArgs { return between(n, n) }

// between is cobra.RangeArgs with our exit code. An empty argument is refused, too: it is most often the value of a variable
// that is not set.
func between(least, most int) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		var err *exit.Error
		switch {
		case len(args) < least:
			err = exit.Errorf(exit.Usage, "%s needs %s", command.CommandPath(), strings.Join(strings.Fields(command.Use)[1+len(args):1+least], " and "))
		case len(args) > most:
			err = exit.Errorf(exit.Usage, "%s: %q is one argument too many", command.CommandPath(), args[most])
		case slices.Contains(args, ""):
			err = exit.Errorf(exit.Usage, "%s: %s is empty", command.CommandPath(), argumentName(command, slices.Index(args, "")))
		default:
			return nil
		}
		return err.Hint("Usage: %s", command.UseLine())
	}
}

// argumentName is what a command's usage calls an argument, of which the last may be given more than once.
func argumentName(command *cobra.Command, i int) string {
	names := strings.Fields(command.Use)[1:]
	name, _, _ := strings.Cut(strings.Trim(names[min(i, len(names)-1)], "[]."), "|")
	return name
}
