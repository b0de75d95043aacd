package plugin

import (
	"slices"
	"strings"
)

// A plugin gets these variables of the host's environment and no others: what a program needs to run at all, and what
// chooses and tunes an accelerator. Credentials are not among them.
var (
	allowed         = []string{"PATH", "HOME", "LANG", "TZ", "LD_LIBRARY_PATH"}
	allowedPrefixes = []string{"LC_", "CUDA_", "NVIDIA_", "XLA_", "GOMLX_", "PJRT_"}
)

// environ returns the plugin's environment: the allowed part of host, overlaid with the variables that the run names,
// overlaid with mtt's own.
func environ(host []string, named, own map[string]string) []string {
	merged := map[string]string{}
	for _, variable := range host {
		name, value, ok := strings.Cut(variable, "=")
		if ok && isAllowed(name) {
			merged[name] = value
		}
	}
	for _, overlay := range []map[string]string{named, own} {
		for name, value := range overlay {
			merged[name] = value
		}
	}
	variables := make([]string, 0, len(merged))
	for name, value := range merged {
		variables = append(variables, name+"="+value)
	}
	slices.Sort(variables)
	return variables
}

func isAllowed(name string) bool {
	return slices.Contains(allowed, name) ||
		slices.ContainsFunc(allowedPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}
