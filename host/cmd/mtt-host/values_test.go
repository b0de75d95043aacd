package main_test

import (
	"strings"
)

func valuesBeyondTheirTypes(b *bench) {
	for set, words := range map[string][]string{
		"big=9223372036854775808":   {"configuration key big: 9223372036854775808 is out of range", "-9223372036854775808", "9223372036854775807"},
		"big=-9223372036854775809":  {"configuration key big: -9223372036854775809 does not fit", "-9223372036854775808"},
		"huge=18446744073709551616": {"configuration key huge: 18446744073709551616 does not fit", "at least 0", "18446744073709551615"},
		"huge=-1":                   {"configuration key huge: -1 is out of range", "at least 0"},
		"small=256":                 {"configuration key small: 256 is out of range", "at most 255"},
		"lr32=1e39":                 {"configuration key lr32: 1e+39 is out of range", "3.4028234663852886e+38"},
		"layers=[2147483648]":       {"configuration key layers[0]: 2147483648 is out of range", "2147483647"},
		"weights.x=-1e39":           {"configuration key weights.x: -1e+39 is out of range"},
	} {
		b.expect(2, words, "run", pluginPath("values"), "-S", set)
	}
	if runs := b.runs(); len(runs) != 0 {
		b.Errorf("runs were made: %+v", runs)
	}
}

func valuesAtTheirLimits(b *bench) {
	for name, c := range map[string][2]string{
		"largest":  {`{"big":9223372036854775807,"huge":18446744073709551615,"small":255,"lr32":3.4028234663852886e38,"layers":[2147483647]}`, `{"big":9223372036854775807,"huge":18446744073709551615,"small":255,"lr":0.1,"lr32":3.4028235e+38,"text":"","layers":[2147483647],`},
		"smallest": {`{"big":-9223372036854775808,"huge":0,"small":0,"lr32":-3.4028234663852886e38,"layers":[-2147483648]}`, `{"big":-9223372036854775808,"huge":0,"small":0,"lr":0.1,"lr32":-3.4028235e+38,"text":"","layers":[-2147483648],`},
	} {
		b.expect(0, nil, "run", pluginPath("values"), "--name", name, "--config", b.given(name+".json", c[0]))
		if got := b.read("files", name, "config.json"); !strings.HasPrefix(got, c[1]) {
			b.Errorf("the experiment was given %s\nwant %s", got, c[1])
		}
	}
}

func refusedConfiguration(b *bench) {
	refused := []string{"the plugin did not take the configuration: steps: 20 is not a prime", "mtt-host plugin describe PLUGIN"}
	r := b.expect(2, refused, faulty("refuses-config", "--name", "r", "--retries", "3")...)
	if strings.Contains(r.stderr, "protocol") {
		b.Errorf("the plugin is blamed: %v", r)
	}
	if shown := b.show("r"); shown.State != "FAILED" || len(shown.Attempts) != 1 || *shown.ExitCode != 2 {
		b.Errorf("the run is %+v", shown)
	}
	b.expect(2, refused[:1], "wait", "r")
	m := newModalBench(b.T)
	m.expect(2, refused[:1], faulty("refuses-config", "--name", "r")...)
}
