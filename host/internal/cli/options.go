package cli

import (
	"cmp"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

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
}

// Where runs and volumes are.
const (
	onThisMachine = "local"
	onModal       = "modal"
)

func (c *common) add(flags *pflag.FlagSet) {
	c.addFormat(flags)
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
	flags.StringVar(&c.modalEnv, "modal-env", "", "environment of Modal's; the profile's if it is not given")
}

// run checks the options and finds a run.
func (c *common) run(id string) (*run.Run, error) {
	registry, err := c.registry()
	if err != nil {
		return nil, err
	}
	return registry.Get(id)
}

// outputsText is what a command for a person to copy needs besides, to work on the same outputs; "" where it works on
// them anyway.
func outputsText(flags *pflag.FlagSet) string {
	flag := flags.Lookup("outputs")
	if flag == nil || !flag.Changed || flag.Annotations[variableOf] != nil {
		return ""
	}
	return " --outputs " + shellText(flag.Value.String())
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

// registry checks the options and opens the outputs.
func (c *common) registry() (*run.Registry, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	return run.Open(c.outputs)
}

// notFromEnvironment are the flags that name one run or one thing to do, and so make no sense as a lasting setting.
var notFromEnvironment = map[string]bool{"help": true, "detach": true, "force": true, "install": true, "recursive": true, "seed": true, "name": true, "new": true, "set": true, "config": true, "env-var": true, "mount": true, "plugin": true}

// fromEnvironment sets the flags that the command line does not from MTT_* variables: --outputs from MTT_OUTPUTS,
// --checkpoint-every from MTT_CHECKPOINT_EVERY.
func fromEnvironment(command *cobra.Command) (err error) {
	command.Flags().VisitAll(func(flag *pflag.Flag) {
		if flag.Changed || notFromEnvironment[flag.Name] || err != nil {
			return
		}
		variable := "MTT_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
		value, ok := os.LookupEnv(variable)
		if !ok || value == "" {
			return
		}
		if command.Flags().Set(flag.Name, value) != nil {
			err = exit.Errorf(exit.Usage, "%w", wrongValue(variable+"="+value, flag))
			return
		}
		err = command.Flags().SetAnnotation(flag.Name, variableOf, []string{variable})
	})
	return err
}

// wrongValue says what a flag wants that was set to what it cannot be.
func wrongValue(given string, flag *pflag.Flag) error {
	want := map[string]string{
		"uint64": "a whole number, 0 or more", "int": "a whole number", "bool": "true or false", "duration": "a duration such as 30s or 2m",
	}[flag.Value.Type()]
	return fmt.Errorf("%s: want %s", given, cmp.Or(want, "a "+flag.Value.Type()))
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
