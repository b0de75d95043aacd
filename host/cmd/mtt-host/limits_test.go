package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tooMuch is a plugin that has more of something than the wire allows, and what the host makes of it.
type tooMuch struct {
	fault string
	code  int
	says  string // on stderr, and in end.json where a run was made
	made  bool   // a run was made
}

// manyTooMuch are said to break the protocol where they speak the wire themselves, and to have failed where the SDK sees it
// first; and no word comes from gRPC.
var manyTooMuch = []tooMuch{
	{"describe-long-summary", 70, "in the experiment's description has 10000 bytes: at most 1024", false},
	{"describe-huge", 70, "a message is larger than 4 MiB, the most that one may have", false},
	{"describe-large-schema", 70, "the schema of the configuration, with its defaults, has 2097186 bytes: at most 1048576", false},
	{"describe-many-metrics", 70, "the experiment has 2000 metrics: at most 1000", false},
	{"describe-many-devices", 70, "a list of 1000 devices or capabilities: at most 100", false},
	{"return-many-results", 70, "the plugin broke the protocol: the result has 2000 names: at most 1000", true},
	{"save-many-results", 70, "the plugin broke the protocol: the result has 2000 names: at most 1000", true},
	{"fail-large", 3, "bytes more)", true},
	{"fail-huge", 70, "a message is larger than 4 MiB, the most that one may have", true},
	{"fail-status", 70, "bytes more)", true},
	{"log-long-tag", 70, "has 513 bytes: at most 512", true},
	{"log-control-tags", 70, `the plugin broke the protocol: the tag "00000\x01`, true},
	{"log-last-step", 70, "a point of \"loss\" at step 9223372036854775807: steps are below 2^63-1", true},
	{"log-many-tags", 70, `the metric "10000" is one too many: a run has at most 10000 tags`, true},
	{"log-many-points", 70, "a batch of 5000 points: at most 4096", true},
	{"log-huge", 70, "a message is larger than 4 MiB, the most that one may have", true},
	{"save-large-chunk", 70, "1048576", true},
	{"save-huge-chunk", 70, "a message is larger than 4 MiB, the most that one may have", true},
	{"save-many-blobs", 70, "more than 1024 blobs", true},
	{"save-long-name", 70, "1 to 128 lower-case letters", true},
	{"result-many", 3, "the result has 200000 names: at most 1000", true},
	{"panic-huge", 70, "bytes more)", true},
	{"control-tags", 70, `the plugin broke the protocol: metric "00000\x01`, true},
	{"tags", 3, "the metric tag/9999 is one too many: a run has at most 10000 tags", true},
}

func TestWhatIsTooLargeIsRefusedWithItsLimit(t *testing.T) {
	for _, c := range manyTooMuch {
		t.Run(c.fault, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			r := b.expect(c.code, []string{c.says}, "run", pluginPath("faulty"), "--name", "bad", "--env-var", "FAULTY="+c.fault)
			for _, word := range []string{"grpc", "4194304", "RESOURCE_EXHAUSTED"} {
				if strings.Contains(r.stderr, word) {
					b.Errorf("stderr has %q", word)
				}
			}
			if len(r.stderr) > 512<<10 {
				b.Errorf("stderr has %d bytes", len(r.stderr))
			}
			if exists(b.path("runs", "bad")) != c.made {
				b.Fatalf("a run was made: %v", !c.made)
			}
			if c.made {
				if shown := b.show("bad"); !strings.Contains(shown.Error, c.says) || shown.State != "FAILED" {
					b.Errorf("the run is %s: %.1000s", shown.State, shown.Error)
				}
				b.smallRecords("bad", 1<<20)
			}
		})
	}
}

// smallRecords wants every record of a run, and its log, to have at most so many bytes.
func (b *bench) smallRecords(run string, most int64) {
	b.Helper()
	for _, pattern := range []string{"*.json", "attempts/*/*.json", "log/*"} {
		files, err := filepath.Glob(b.path("runs", run, pattern))
		if err != nil || len(files) == 0 {
			b.Errorf("no %s: %v", pattern, err)
		}
		for _, file := range files {
			if info, err := os.Stat(file); err != nil || info.Size() > most {
				b.Errorf("%s has %d bytes: %v", file, info.Size(), err)
			}
		}
	}
}

var limits = []promise{
	{"a configuration that is too large makes no run", func(b *bench) {
		config := filepath.Join(filepath.Dir(b.tmp), "large.json")
		for size, code := range map[int]int{6_000_000: 2, 1 << 20: 2, 1<<20 - 200: 0} {
			if err := os.WriteFile(config, fmt.Appendf(nil, `{"note":%q}`, strings.Repeat("x", size)), 0o600); err != nil {
				b.Fatal(err)
			}
			var says []string
			if code != 0 {
				says = []string{"the configuration has ", "bytes: at most 1048576"}
			}
			r := b.expect(code, says, "run", pluginPath("faulty"), "--new", "--env-var", "FAULTY=none", "--config", config)
			if runs, _ := os.ReadDir(b.path("runs")); len(runs) > 0 && code != 0 {
				b.Errorf("a run was made: %v", r)
			}
			os.RemoveAll(b.outputs)
		}
	}},
	{"a number that is out of its range is refused when it is read", func(b *bench) {
		walk := []string{"run", pluginPath("walk"), "--name", "r"}
		for _, c := range [][]string{
			{"--max-cost", "NaN", "0, or 0.000001 to 1000000000 US dollars"},
			{"--max-cost", "-1", "0, or 0.000001 to"},
			{"--cpu", "Inf", "0, or 0.001 to 1000 cores"},
			{"--cpu", "1e9", "0, or 0.001 to 1000 cores"},
			{"--memory", "99999999GiB", "a size such as 16GiB or 512MiB, from 1MiB to 16384GiB"},
			{"--memory", "16XB", "a size such as 16GiB"},
			{"--timeout", "-1s", "0 or more and at most 87600h0m0s"},
			{"--timeout", "9999999h", "a duration such as 30s"},
			{"--stall", "-1ms", "0 or more and at most 87600h0m0s"},
			{"--keep", "0", "a whole number, at least 1 and at most 1000000"},
			{"--keep", "9223372036854775808", "a whole number, at least 1 and"},
			{"--retries", "-1", "a whole number, 0 or more and at most 1000000"},
			{"--seed", "9007199254740992", "below 2^53"},
			{"--seed", "NaN", "a whole number"},
			{"--checkpoint-every", "-5", "a number of steps such as 500, or a time such as 30s"},
			{"--stop-grace", "0", "more than 0 and at most 24h0m0s"},
			{"--start-timeout", "25h", "more than 0 and at most 24h0m0s"},
		} {
			name, value, wants := c[0], c[1], c[2]
			b.expect(2, []string{name + " " + value + ": ", wants}, append(walk, name, value)...)
			if name == "--seed" { // which is no lasting setting
				continue
			}
			variable := "MTT_" + strings.ToUpper(strings.ReplaceAll(name[2:], "-", "_")) + "=" + value
			b.env = append(b.env, variable)
			b.expect(2, []string{variable + ": ", wants}, walk...)
			b.env = b.env[:len(b.env)-1]
		}
		if exists(b.path("runs", "r")) {
			b.Error("a run was made")
		}
		b.expect(0, nil, walk...)
		for _, lines := range []string{"-5", "-2", "9223372036854775808", "x"} {
			b.expect(2, []string{"--lines " + lines + ": want 0 or more, or -1 for all"}, "logs", "r", "-n", lines)
		}
		b.expect(0, nil, "logs", "r", "-n", "9223372036854775807")
		b.expect(2, []string{"--since -5m: want "}, "logs", "r", "--since", "-5m")
	}},
	{"where an error comes from is in the log", func(b *bench) {
		b.expect(3, []string{"it failed"}, "run", pluginPath("faulty"), "--name", "bad", "--env-var", "FAULTY=fail-large")
		if logged := b.expect(0, nil, "logs", "bad").stdout; !strings.Contains(logged, "where the experiment failed:\nsomewhere sss") {
			b.Errorf("the log has %.1000q", logged)
		}
	}},
	{"a progress bar is a sign of life, and its newest state is kept", func(b *bench) {
		b.expect(0, []string{"plugin: loading 100%"}, "run", pluginPath("faulty"), "--name", "bar", "--env-var", "FAULTY=bar", "--stall", "2s")
	}},
	{"dots without the end of a line are a sign of life", func(b *bench) {
		b.expect(0, []string{"plugin: " + strings.Repeat(".", 50)}, "run", pluginPath("faulty"), "--name", "dots", "--env-var", "FAULTY=dots", "--stall", "2s")
	}},
	{"last words without the end of a line are shown", func(b *bench) {
		b.expect(0, []string{"plugin: the last words"}, "run", pluginPath("faulty"), "--name", "r", "--env-var", "FAULTY=prints-without-end")
	}},
	{"a long line is cut aloud, and bytes that are no text are escaped", func(b *bench) {
		r := b.expect(0, []string{"xxx… (183656 bytes more)", `\xff\xff… (35914 bytes more)`}, "run", pluginPath("faulty"), "--name", "r", "--env-var", "FAULTY=prints-long-lines")
		if strings.Contains(r.stderr, "\uFFFD") {
			b.Error("a byte has become another character")
		}
		if logged := b.expect(0, nil, "logs", "r").stdout; !strings.Contains(logged, "xxx… (183656 bytes more)") {
			b.Error("the log does not say that a line is cut")
		}
	}},
}

func TestLimitsHold(t *testing.T) { hold(t, limits) }
