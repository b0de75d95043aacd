package cli

import (
	"slices"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// ranges are the flags of all commands whose values are numbers, with values that they may have, and values just beyond.
var ranges = map[string]struct{ good, bad []string }{
	"attempt":          {[]string{"1", "1000000"}, []string{"0"}},
	"attempt-limit":    {[]string{"1s", "24h"}, []string{"0", "999ms", "24h0m1s"}},
	"checkpoint-every": {[]string{"1", "500", "1ms", "87600h"}, []string{"0", "0s", "87600h1s", "1.5", "9223372036854775808", "+5s"}},
	"cpu":              {[]string{"0", "0.001", "4", "1e3"}, []string{"0.0001", "1000.1", "1e9"}},
	"keep":             {[]string{"1", "1000000"}, []string{"0", "1000001", "1.5"}},
	"limit":            {[]string{"1s", "24h"}, []string{"0", "24h1s"}},
	"lines":            {[]string{"-1", "0", "5", "9223372036854775807"}, []string{"-2", "-5", "9223372036854775808"}},
	"max-cost":         {[]string{"0", "0.01", "1e9"}, []string{"1e-9", "1.1e9"}},
	"memory":           {[]string{"1MiB", "16GiB", "1.5 GB", "2MB", "16384GiB"}, []string{"0GiB", "0.5MiB", "16385GiB", "99999999GiB", "16", "16XB", "GiB", "InfGiB", "NaNGiB", "-1GiB", "1e400MiB"}},
	"number":           {[]string{"1", "1000000"}, []string{"0"}},
	"retries":          {[]string{"0", "1000000"}, []string{"1000001", "1.5"}},
	"seed":             {[]string{"0", "9007199254740991"}, []string{"9007199254740992", "1.5", "18446744073709551616"}},
	"since":            {[]string{"0s", "10m", "2026-01-02T15:04:05Z"}, []string{"-10m", "yesterday", "10"}},
	"stall":            {[]string{"0", "15m", "87600h"}, []string{"87600h1s"}},
	"start-timeout":    {[]string{"1ms", "24h"}, []string{"0", "24h1s"}},
	"stop-grace":       {[]string{"1ms", "24h"}, []string{"0", "24h1s"}},
	"supervisor-limit": {[]string{"1s", "24h"}, []string{"0", "999ms", "24h0m1s"}},
	"timeout":          {[]string{"0", "1s", "87600h"}, []string{"87600h1s"}},
}

// always are values that no flag with a number may have, but for those named.
var always = []string{"", " ", "x", "NaN", "nan", "Inf", "-Inf", "+Inf", "inf", "-1", "-1s", "-1GiB", "1e999", "1e999s", "9999999999h", "0x", "1 2", "1,5", "①", "\x00"}

func TestEveryNumberHasARange(t *testing.T) {
	found := map[string]bool{}
	eachFlag(newRoot(), func(command *cobra.Command, flag *pflag.Flag) {
		numeric := slices.Contains([]string{"int", "int64", "uint", "uint64", "float", "float64", "duration", "count", "size", "cadence", "time"}, flag.Value.Type())
		r, listed := ranges[flag.Name]
		if numeric != listed {
			t.Errorf("%s --%s is a %s, and listed with a range: %v", command.CommandPath(), flag.Name, flag.Value.Type(), listed)
		}
		if !numeric {
			return
		}
		found[flag.Name] = true
		if _, ok := flag.Value.(interface{ Want(string) string }); !ok {
			t.Errorf("%s --%s has no range", command.CommandPath(), flag.Name)
		}
		for _, text := range r.good {
			if err := flag.Value.Set(text); err != nil {
				t.Errorf("%s --%s %q: %v", command.CommandPath(), flag.Name, text, err)
			}
			if err := flag.Value.Set(flag.Value.String()); err != nil {
				t.Errorf("%s --%s %q prints as %q, which it does not take", command.CommandPath(), flag.Name, text, flag.Value.String())
			}
		}
		before := flag.Value.String()
		for _, text := range slices.Concat(r.bad, always) {
			if flag.Value.Set(text) == nil && !slices.Contains(r.good, text) || flag.Value.String() != before && !slices.Contains(r.good, text) {
				t.Errorf("%s --%s takes %q, and is %s", command.CommandPath(), flag.Name, text, flag.Value)
			}
			_ = flag.Value.Set(before)
		}
	})
	for name := range ranges {
		if !found[name] {
			t.Errorf("no command has --%s", name)
		}
	}
}

func eachFlag(command *cobra.Command, do func(*cobra.Command, *pflag.Flag)) {
	command.Flags().VisitAll(func(flag *pflag.Flag) { do(command, flag) })
	for _, sub := range command.Commands() {
		eachFlag(sub, do)
	}
}
