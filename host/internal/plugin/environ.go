package plugin

import (
	"maps"
	"slices"
	"strings"

	"github.com/mtt-project/mtt/host/internal/exactness"
)

// A plugin gets these variables of the host's environment, and those that numeric libraries read, and no others: what a
// program needs to run at all. Credentials are not among them.
var (
	allowed         = []string{"PATH", "HOME", "LANG", "TZ", "LD_LIBRARY_PATH"}
	allowedPrefixes = []string{"LC_"}
)

// Environment is what a plugin gets besides mtt's own variables: the allowed part of the host's environment, overlaid with
// the variables that the run names.
func Environment(host []string, named ...map[string]string) map[string]string {
	merged := map[string]string{}
	for _, variable := range host {
		name, value, ok := strings.Cut(variable, "=")
		if ok && isAllowed(name) {
			merged[name] = value
		}
	}
	for _, overlay := range named {
		maps.Copy(merged, overlay)
	}
	return merged
}

// environ is an environment in the form in which a process gets it.
func environ(environment map[string]string) []string {
	variables := make([]string, 0, len(environment))
	for name, value := range environment {
		variables = append(variables, name+"="+value)
	}
	slices.Sort(variables)
	return variables
}

func isAllowed(name string) bool {
	return slices.Contains(allowed, name) || exactness.Numeric(name) ||
		slices.ContainsFunc(allowedPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}
