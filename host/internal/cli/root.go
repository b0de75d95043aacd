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
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mtt-project/mtt/host/internal/exit"
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
	root.SetOut(stdout)
	root.SetErr(stderr)
	command, err := root.ExecuteContextC(context.Background())
	if err == nil {
		return int(exit.OK)
	}
	if errors.Is(err, syscall.EPIPE) { // head, or less, has seen enough
		return brokenPipe
	}
	printError(stderr, err, outputsText(command.Flags()))
	return int(exit.Of(err))
}

// brokenPipe is what a shell makes of a program that SIGPIPE has ended.
const brokenPipe = 128 + int(syscall.SIGPIPE)

// printError prints an error once, with what to do about it. The commands in that get the outputs that this one had.
func printError(to io.Writer, err error, outputs string) {
	fmt.Fprintf(to, "mtt-host: %v\n", err)
	var known *exit.Error
	if !errors.As(err, &known) || known.Next == "" {
		return
	}
	for line := range strings.Lines(known.Next) {
		line = strings.TrimRight(line, "\n")
		if ofRuns.MatchString(line) && !strings.Contains(line, "--outputs") {
			line += outputs
		}
		fmt.Fprintln(to, line)
	}
}

// ofRuns finds a command that works on outputs, which is always the end of its line.
var ofRuns = regexp.MustCompile(`mtt-host (run|resume|attach|logs|wait|stop|tb|ls|show|checkpoints)\b`)

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "mtt-host",
		Short:         "Run machine-learning experiments that survive being killed",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noSuchCommand,
		RunE:          func(command *cobra.Command, _ []string) error { return command.Help() },
		PersistentPreRunE: func(command *cobra.Command, _ []string) error {
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
			err = wrongValue("--"+invalid.GetFlag().Name+" "+invalid.GetValue(), invalid.GetFlag())
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

// between is cobra.RangeArgs with our exit code.
func between(least, most int) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		var err *exit.Error
		switch {
		case len(args) < least:
			err = exit.Errorf(exit.Usage, "%s needs %s", command.CommandPath(), strings.Join(strings.Fields(command.Use)[1+len(args):1+least], " and "))
		case len(args) > most:
			err = exit.Errorf(exit.Usage, "%s: %q is one argument too many", command.CommandPath(), args[most])
		default:
			return nil
		}
		return err.Hint("Usage: %s", command.UseLine())
	}
}
