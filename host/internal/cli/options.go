package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/local"
	"github.com/mtt-project/mtt/host/internal/backend/modal"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

// common are the options of every command.
type common struct {
	flags    *pflag.FlagSet
	outputs  string
	format   string
	backend  string
	modalEnv string
	volume   string

	patient bool              // wait for Modal as long as it takes
	say     func(text string) // told what is waited for; nil: stderr is
	notices *modal.Notices    // of what Modal limits: one of a command, however often it connects
}

// impatience is how long a command that does one thing waits while Modal limits its calls: longer than any burst, and
// short enough for a script to go on with something else.
const impatience = 2 * time.Minute

// modal says what to open on Modal, and how to wait for it.
func (c *common) modal(volume string, create modal.Create) modal.Options {
	options := modal.Options{Environment: c.modalEnv, Volume: volume, Create: create, Patience: impatience, Say: c.say}
	if c.patient {
		options.Patience = 0
	}
	if c.say == nil {
		options.Say = func(text string) { fmt.Fprintln(os.Stderr, "mtt-host: "+text) }
	}
	if c.notices == nil {
		c.notices = modal.NewNotices(options.Say)
	}
	options.Notices = c.notices
	return options
}

// Where runs and volumes are.
const (
	onThisMachine = "local"
	onModal       = "modal"
)

func (c *common) add(flags *pflag.FlagSet) {
	c.addFormat(flags)
	c.addBackend(flags)
	c.addOutputs(flags)
	flags.StringVar(&c.volume, "volume", run.DefaultModal().Volume, "with -b modal: name of the volume that holds runs and checkpoints")
}

// addOutputs adds where runs are on this machine.
func (c *common) addOutputs(flags *pflag.FlagSet) {
	flags.StringVar(&c.outputs, "outputs", "./outputs", "directory that holds runs and checkpoints")
}

// addFormat adds what a command has that works on no outputs.
func (c *common) addFormat(flags *pflag.FlagSet) {
	c.flags = flags
	flags.StringVarP(&c.format, "output", "o", "text", "what stdout holds: text or json")
}

// addBackend adds where to look.
func (c *common) addBackend(flags *pflag.FlagSet) {
	flags.StringVarP(&c.backend, "backend", "b", onThisMachine, "where it is: local (this machine) or modal")
	flags.StringVar(&c.modalEnv, "modal-env", "", "with -b modal: environment; by default the profile's")
}

// open checks the options and opens where the runs are. create is for Modal.
func (c *common) open(ctx context.Context, create modal.Create) (backend.Backend, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.backend == onModal {
		return modal.Open(ctx, c.modal(c.volume, create))
	}
	if _, err := os.Stat(c.outputs); create == modal.Nothing && c.flags.Changed("outputs") && errors.Is(err, fs.ErrNotExist) {
		return nil, exit.Errorf(exit.NotFound, "there is no directory %s, as %s says", c.outputs, given(c.flags, "outputs")).
			Hint("Name the one that holds the runs; without --outputs and MTT_OUTPUTS it is ./outputs.")
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return local.OpenRuns(c.outputs, self)
}

// run checks the options and finds a run, for a command that does not write to it but a request to stop. The caller closes
// the backend.
func (c *common) run(command *cobra.Command, id string) (backend.Backend, *run.Run, error) {
	ctx := command.Context()
	on, err := c.open(ctx, modal.Nothing)
	if err != nil {
		return nil, nil, err
	}
	found, err := find(ctx, on.Registry(), id)
	if err != nil {
		return nil, nil, errors.Join(err, on.Close())
	}
	if newer := found.NewerWarning(); newer != "" {
		fmt.Fprintf(command.ErrOrStderr(), "warning: %s\n", newer)
	}
	return on, found, nil
}

// find finds a run, of which what is read is up to date.
func find(ctx context.Context, registry *run.Registry, id string) (*run.Run, error) {
	if err := run.CheckID(id); err != nil {
		return nil, err
	}
	if err := registry.Refresh(ctx, id); err != nil {
		return nil, err
	}
	return registry.Get(id)
}

// outputsText is what a command for a person to copy needs besides, to work on the same runs; "" where it works on them
// anyway.
func outputsText(flags *pflag.FlagSet) string {
	return lacking("", flags, "backend", "outputs", "volume", "modal-env")
}

// lacking is those of the named flags that a command lacks.
func lacking(command string, flags *pflag.FlagSet, names ...string) (text string) {
	on := flags.Lookup("backend")
	for _, name := range names {
		option := "--" + name
		if name == "backend" {
			option = "-b"
		}
		flag := flags.Lookup(name)
		if strings.Contains(command, " "+option+" ") || flag == nil || !flag.Changed || flag.Annotations[variableOf] != nil {
			continue
		}
		if elsewhere := on != nil && on.Value.String() == onModal; elsewhere && name == "outputs" || !elsewhere && name != "outputs" {
			continue
		}
		text += " " + option + " " + exit.ShellText(flag.Value.String())
	}
	return text
}

func (c *common) check() error {
	if c.format != "text" && c.format != "json" {
		return exit.Errorf(exit.Usage, "%s: want text or json", given(c.flags, "output"))
	}
	if c.flags.Lookup("backend") != nil && c.backend != onThisMachine && c.backend != onModal {
		return exit.Errorf(exit.Usage, "%s: want %s or %s", given(c.flags, "backend"), onThisMachine, onModal)
	}
	return nil
}

func (c *common) json() bool { return c.format == "json" }

// notFromEnvironment are the flags that name one run or one thing to do, and so make no sense as a lasting setting.
var notFromEnvironment = map[string]bool{"help": true, "detach": true, "dry-run": true, "force": true, "install": true, "recursive": true, "seed": true, "name": true, "new": true, "set": true, "config": true, "binary": true, "build": true, "build-secret": true, "env-var": true, "mount": true, "plugin": true}

// fromEnvironment sets the flags that the command line does not from MTT_* variables: --outputs from MTT_OUTPUTS,
// --checkpoint-every from MTT_CHECKPOINT_EVERY. An empty value is refused, whether of a flag or of a variable: it is most
// often that of another variable, which is not set. Only a list may be empty.
func fromEnvironment(command *cobra.Command) (err error) {
	command.Flags().VisitAll(func(flag *pflag.Flag) {
		if err != nil {
			return
		}
		if flag.Changed {
			if hasEmpty(flag) {
				err = exit.Errorf(exit.Usage, "--%s is empty: give it a value, or leave it out", flag.Name)
			}
			return
		}
		if notFromEnvironment[flag.Name] {
			return
		}
		variable := "MTT_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
		value, ok := os.LookupEnv(variable)
		if !ok {
			return
		}
		if _, list := flag.Value.(pflag.SliceValue); value == "" && !list {
			err = exit.Errorf(exit.Usage, "%s is empty: give it a value, or unset it", variable)
			return
		}
		if command.Flags().Set(flag.Name, value) != nil {
			err = exit.Errorf(exit.Usage, "%w", wrongValue(variable+"=", value, flag))
			return
		}
		err = command.Flags().SetAnnotation(flag.Name, variableOf, []string{variable})
	})
	return err
}

// hasEmpty says whether a flag was given an empty text, or one among several.
func hasEmpty(flag *pflag.Flag) bool {
	if list, ok := flag.Value.(pflag.SliceValue); ok {
		return slices.Contains(list.GetSlice(), "")
	}
	return flag.Value.Type() == "string" && flag.Value.String() == ""
}

// wrongValue says what a flag wants that was set to what it cannot be; name is how, such as "--keep ".
func wrongValue(name, value string, flag *pflag.Flag) error {
	if number, ok := flag.Value.(interface{ Want(string) string }); ok {
		return fmt.Errorf("%s%s: %s", name, value, number.Want(value))
	}
	return fmt.Errorf("%s%s: want %s", name, value, cmp.Or(map[string]string{"bool": "true or false"}[flag.Value.Type()], "a "+flag.Value.Type()))
}

// variableOf is the annotation of a flag that was set from a variable: the variable's name.
const variableOf = "mtt_variable"

// given is how a flag was set, for an error about it: "--keep 0", or "MTT_KEEP=0".
func given(flags *pflag.FlagSet, name string) string {
	flag := flags.Lookup(name)
	if variable, ok := flag.Annotations[variableOf]; ok {
		return variable[0] + "=" + flag.Value.String()
	}
	return "--" + name + " " + flag.Value.String()
}
