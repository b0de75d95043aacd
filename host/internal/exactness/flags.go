package exactness

import (
	"maps"
	"slices"
	"strings"
)

// canonicalFlags brings XLA's flags into one order, since XLA takes them in any: by name, and those of one name as they
// come, of which XLA takes the last or all. A flag without a value is true. Those that say what XLA dumps of its programs
// are left out, since they change none. Quoted flags are left as they are.
func canonicalFlags(text string) string {
	flags := strings.Fields(text)
	if strings.ContainsAny(text, `"'`) {
		return strings.Join(flags, " ")
	}
	for i, flag := range flags {
		if !strings.Contains(flag, "=") {
			flags[i] = flag + "=true"
		}
	}
	flags = slices.DeleteFunc(flags, func(flag string) bool { return strings.HasPrefix(flag, "--xla_dump_") })
	slices.SortStableFunc(flags, func(a, b string) int { return strings.Compare(nameOf(a), nameOf(b)) })
	return strings.Join(slices.Compact(flags), " ")
}

func nameOf(flag string) string {
	name, _, _ := strings.Cut(flag, "=")
	return name
}

// canonicalSettings brings GODEBUG's settings into one order. Of one name, Go takes the last.
func canonicalSettings(text string) string {
	settings := map[string]string{}
	for setting := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(setting, "=")
		if name != "" {
			settings[name] = value
		}
	}
	var sorted []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		sorted = append(sorted, name+"="+settings[name])
	}
	return strings.Join(sorted, ",")
}
