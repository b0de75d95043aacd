package cli

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/mtt-project/mtt/host/internal/backend/modal"
	"github.com/mtt-project/mtt/host/internal/device"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

// modalOptions are the flags of `run` and `resume` about what a run is lived on at Modal.
type modalOptions struct {
	flags           *pflag.FlagSet
	gpu             []string
	cpu             float64
	memory          int // MiB
	image           string
	apt             []string
	secrets         []string
	maxCost         float64
	build           bool
	buildSecrets    []string
	attemptLimit    time.Duration
	supervisorLimit time.Duration
}

// ofModal are the flags that mean something on Modal only.
var ofModal = []string{"binary", "build", "build-secret", "gpu", "cpu", "memory", "image", "apt", "secret", "max-cost", "attempt-limit", "supervisor-limit"}

func (o *modalOptions) add(flags *pflag.FlagSet) {
	o.flags = flags
	defaults := run.DefaultModal()
	flags.StringSliceVar(&o.gpu, "gpu", nil, "with -b modal: GPUs in order of preference, such as H100,A100-80GB or H100:2")
	amount(&o.cpu, 0.001, 1000, "cores").add(flags, "cpu", "", "with -b modal: `cores`; 0 is Modal's default")
	memory(&o.memory).add(flags, "memory", "", "with -b modal: `size`, such as 16GiB")
	flags.StringVar(&o.image, "image", defaults.Image, "with -b modal: image to run in")
	flags.StringSliceVar(&o.apt, "apt", nil, "with -b modal: Debian `packages` to add to the image")
	flags.StringArrayVar(&o.secrets, "secret", nil, "with -b modal: `NAME=KEY,...` of a Modal Secret whose keys the plugin gets; may be given again")
	amount(&o.maxCost, 0.000001, 1e9, "US dollars").add(flags, "max-cost", "", "with -b modal: `dollars` that the run may cost at most, by the prices that mtt knows; 0 is any")
	span(&o.attemptLimit, time.Duration(defaults.AttemptLimit), time.Second, run.SandboxLimit).add(flags, "attempt-limit", "", "with -b modal: an attempt saves and makes room for the next one after so long")
	span(&o.supervisorLimit, time.Duration(defaults.SupervisorLimit), time.Second, run.SandboxLimit).add(flags, "supervisor-limit", "", "with -b modal: a supervisor hands over after so long")
	_ = flags.MarkHidden("attempt-limit")
	_ = flags.MarkHidden("supervisor-limit")
}

// apply sets what the person gave, and on Modal what a run needs there besides.
func (o *modalOptions) apply(options *run.Options, on place) error {
	if !on.elsewhere() {
		for _, name := range ofModal {
			if flag := o.flags.Lookup(name); flag != nil && flag.Changed && flag.Annotations[variableOf] == nil {
				return exit.Errorf(exit.Usage, "%s: this is for runs on Modal", given(o.flags, name)).Hint("Add -b modal.")
			}
		}
		return nil
	}
	secrets, err := o.check()
	if err != nil {
		return err
	}
	if options.Modal == nil {
		fresh := run.DefaultModal()
		fresh.Volume = o.flags.Lookup("volume").Value.String()
		host, err := on.host()
		if err != nil {
			return err
		}
		fresh.HostSHA256 = host.SHA256
		opened, err := on.on()
		switch {
		case err == nil:
			elsewhere := opened.(*modal.Backend)
			fresh.VolumeID, fresh.Environment = elsewhere.VolumeID(), elsewhere.Environment()
		case exit.Of(err) != exit.NotFound: // in a dry run, the volume need not be there
			return err
		}
		options.Modal = &fresh
	}
	m := *options.Modal
	options.Modal = &m // that of a run is not to be changed before it is adopted
	if o.flags.Changed("gpu") {
		m.GPU = o.gpu
	}
	switch {
	case o.flags.Changed("device"):
	case len(m.GPU) > 0 && options.Device == device.Auto:
		options.Device = device.CUDA // so that nobody pays for a GPU that is not used
	case len(m.GPU) == 0 && options.Device == device.CUDA:
		options.Device = device.Auto // a resume has taken the GPU away
	}
	if o.flags.Changed("cpu") {
		m.CPU = o.cpu
	}
	if o.flags.Changed("memory") {
		m.MemoryMiB = o.memory
	}
	if o.flags.Changed("image") {
		m.Image = o.image
	}
	if o.flags.Changed("apt") {
		m.Apt = o.apt
	}
	if o.flags.Changed("gpu") || o.flags.Changed("apt") || m.Layers == nil { // else those of the run, of whatever version of XLA
		m.Layers = modal.Layers(len(m.GPU) > 0, m.Apt)
	}
	if o.flags.Changed("attempt-limit") {
		m.AttemptLimit = run.Duration(o.attemptLimit)
	}
	if o.flags.Changed("supervisor-limit") {
		m.SupervisorLimit = run.Duration(o.supervisorLimit)
	}
	if o.flags.Changed("secret") {
		m.Secrets = secrets
	}
	return o.applyCost(&m)
}

// check refuses what Modal would refuse, before anything is made there. It returns the Secrets.
func (o *modalOptions) check() ([]run.Secret, error) {
	for _, gpu := range o.gpu {
		if err := modal.CheckGPU(gpu); err != nil {
			return nil, err
		}
	}
	for _, name := range o.apt {
		if err := modal.CheckPackage(name); err != nil {
			return nil, err
		}
	}
	if err := modal.CheckImage(o.image); err != nil {
		return nil, err
	}
	if _, err := parseSecrets("build-secret", o.buildSecrets); err != nil {
		return nil, err
	}
	return parseSecrets("secret", o.secrets)
}

func (o *modalOptions) applyCost(m *run.Modal) (err error) {
	if o.flags.Changed("max-cost") {
		m.MaxCost = o.maxCost
	}
	if m.MaxCost == 0 {
		return nil
	}
	m.Rate, err = modal.Rate(*m)
	return err
}

// keyPattern is of the names that a shell can give a variable.
var keyPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func parseSecrets(flag string, texts []string) (secrets []run.Secret, err error) {
	for _, text := range texts {
		name, keys, ok := strings.Cut(text, "=")
		secret := run.Secret{Name: name, Keys: strings.Split(keys, ",")}
		if !ok || name == "" || slices.Contains(secret.Keys, "") {
			return nil, exit.Errorf(exit.Usage, "--%s %q: want NAME=KEY, or NAME=KEY,KEY", flag, text)
		}
		if err := modal.CheckSecret(flag, name); err != nil {
			return nil, err
		}
		for _, key := range secret.Keys {
			if !keyPattern.MatchString(key) {
				return nil, exit.Errorf(exit.Usage, "--%s %q: %q cannot be the key of a Secret, which becomes a variable", flag, text, key)
			}
			if strings.HasPrefix(key, "MODAL_") {
				return nil, exit.Errorf(exit.Usage, "--%s %s: Modal's credentials go to no plugin", flag, text)
			}
		}
		secrets = append(secrets, secret)
	}
	return secrets, nil
}
