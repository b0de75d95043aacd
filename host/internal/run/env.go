package run

import (
	"maps"
	"slices"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// SetEnv gives the plugin a variable. Its value is recorded.
func (o *Options) SetEnv(name, value string) {
	env := maps.Clone(o.Env) // that of a run is not to be changed before it is adopted
	if env == nil {
		env = map[string]string{}
	}
	env[name] = value
	o.Env, o.PassedEnv = env, without(o.PassedEnv, name)
}

// PassEnv gives the plugin a variable of the command that starts or resumes the run. Its value is not recorded.
func (o *Options) PassEnv(name string) {
	env := maps.Clone(o.Env)
	delete(env, name)
	o.Env, o.PassedEnv = env, append(without(o.PassedEnv, name), name)
}

func without(names []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(other string) bool { return other == name })
}

// Passed returns the values of the variables that PassEnv names, from the environment that lookup reads. exit.Usage: one of
// them is not set.
func (o *Options) Passed(lookup func(name string) (value string, set bool)) (map[string]string, error) {
	passed := map[string]string{}
	for _, name := range o.PassedEnv {
		value, set := lookup(name)
		if !set {
			return nil, exit.Errorf(exit.Usage, "the variable %s, which the plugin is given without a record of its value, is not set", name).
				Hint("Set it, and repeat the command; or have the value recorded: --env-var %s=VALUE", name)
		}
		passed[name] = value
	}
	return passed, nil
}

// Environment returns all variables that the run names, with the values of those that are passed.
func (o *Options) Environment(lookup func(name string) (value string, set bool)) (map[string]string, error) {
	environment, err := o.Passed(lookup)
	if err != nil {
		return nil, err
	}
	maps.Copy(environment, o.Env)
	return environment, nil
}
