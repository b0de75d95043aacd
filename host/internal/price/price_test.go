package price

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// configure makes content the person's prices; without any there is no file.
func configure(t *testing.T, content string) (file string) {
	t.Helper()
	config := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", config)
	t.Setenv("MTT_PRICES", "")
	file = filepath.Join(config, "mtt", "prices.toml")
	if content == "" {
		return file
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func rate(t *testing.T, gpus string, cores, memoryGiB float64) float64 {
	t.Helper()
	dollars, err := Rate(strings.Fields(gpus), cores, memoryGiB)
	if err != nil {
		t.Fatal(err)
	}
	return dollars
}

func TestRateIsOfTheDearestFallback(t *testing.T) {
	configure(t, "cpu_core = 0.01\nmemory_gib = 0.001\n[gpu]\nT4 = 1\nH100 = 4\nA100 = 2\n'A100-40GB' = 2.5\n")
	for _, c := range []struct {
		gpus          string
		cores, memory float64
		want          float64
	}{
		{"", 0, 0, 0},
		{"", 2, 8, 0.028},
		{"T4", 0, 0, 1},
		{"T4 H100", 2, 8, 4.028},
		{"H100 T4", 2, 8, 4.028},
		{"H100 T4:8", 0, 0, 8},
		{"h100:2", 0, 0, 8},
		{"H100!", 0, 0, 4},
		{"A100", 0, 0, 2.5}, // the same GPU under two names
	} {
		if got := rate(t, c.gpus, c.cores, c.memory); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("Rate(%s, %g, %g) = %g, want %g", c.gpus, c.cores, c.memory, got, c.want)
		}
	}
}

func TestFileGoesOverTheDefaults(t *testing.T) {
	configure(t, "")
	h100, l4 := rate(t, "H100", 0, 0), rate(t, "L4", 0, 0)
	configure(t, "[gpu]\nH100 = 5\nNEW = 7\n")
	if got := rate(t, "H100", 0, 0); got != 5 || h100 == 5 {
		t.Errorf("an H100 costs %g, and %g by default; want 5", got, h100)
	}
	if got := rate(t, "L4", 0, 0); got != l4 {
		t.Errorf("an L4 costs %g, want %g as by default", got, l4)
	}
	if got := rate(t, "NEW:2", 0, 0); got != 14 {
		t.Errorf("two new ones cost %g, want 14", got)
	}
	other := filepath.Join(t.TempDir(), "other.toml")
	if err := os.WriteFile(other, []byte("gpu.H100 = 6"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("MTT_PRICES", other)
	if got := rate(t, "H100", 0, 0); got != 6 {
		t.Errorf("an H100 costs %g by the file that MTT_PRICES names, want 6", got)
	}
}

func TestUnknownPriceIsNotGuessed(t *testing.T) {
	file := configure(t, "")
	for _, gpus := range []string{"X9000", "T4 X9000", "any"} {
		_, err := Rate(strings.Fields(gpus), 1, 1)
		names := strings.Fields(gpus)
		missing := names[len(names)-1]
		if exit.Of(err) != exit.Usage || !strings.Contains(exit.NextOf(err), file) || !strings.Contains(exit.NextOf(err), `"`+missing+`" = PRICE`) {
			t.Errorf("%s: want a usage error that names the key %q and the file %s; got %v\n%s", gpus, missing, file, err, exit.NextOf(err))
		}
	}
	for _, gpu := range []string{"T4:0", "T4:-1", "T4:", "T4:two"} {
		if _, err := Rate([]string{gpu}, 0, 0); exit.Of(err) != exit.Usage {
			t.Errorf("%s: got %v", gpu, err)
		}
	}
}

func TestWrongPricesAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ content, says string }{
		"not TOML":        {"cpu_core: 1", "toml"},
		"an unknown key":  {"cpu_cores = 1", "no key cpu_cores"},
		"text":            {"[gpu]\nT4 = 'cheap'", "line 2"},
		"a free core":     {"cpu_core = 0", "cpu_core = 0 is no price"},
		"negative memory": {"memory_gib = -1", "memory_gib = -1 is no price"},
		"no number":       {"[gpu]\nT4 = nan", "gpu.T4 = NaN is no price"},
		"infinity":        {"[gpu]\nT4 = inf", "is no price"},
	} {
		t.Run(name, func(t *testing.T) {
			file := configure(t, c.content)
			_, err := Rate(nil, 1, 1)
			if exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), file) {
				t.Errorf("want a usage error with %q and the file's name; got %v", c.says, err)
			}
		})
	}
	t.Setenv("MTT_PRICES", filepath.Join(t.TempDir(), "gone.toml"))
	if _, err := Rate(nil, 1, 1); exit.Of(err) != exit.Usage {
		t.Errorf("a file that MTT_PRICES names and is not there: got %v", err)
	}
}

func TestEveryDefaultSaysWhereItIsFrom(t *testing.T) {
	for _, f := range append([]figure{defaultCPU, defaultMemory}, defaultGPUs...) {
		if _, err := time.Parse(time.DateOnly, f.date); err != nil || !strings.HasPrefix(f.source, "https://") || check(f.name, f.dollars) != nil {
			t.Errorf("%+v has no source, date or price", f)
		}
	}
	for _, gpu := range defaultGPUs {
		if canonical(gpu.name) != gpu.name {
			t.Errorf("%s would never be found", gpu.name)
		}
	}
}

func TestLimit(t *testing.T) {
	for _, c := range []struct {
		cost, rate float64
		want       time.Duration
	}{
		{10, 0.001, 10_000 * time.Second},
		{1, 4, 250 * time.Millisecond},
		{0, 1, 0},
		{math.MaxFloat64, 1e-9, math.MaxInt64},
		{1, 0, math.MaxInt64},
		{0, 0, math.MaxInt64},
	} {
		if got := Limit(c.cost, c.rate); got != c.want {
			t.Errorf("Limit(%g, %g) = %s, want %s", c.cost, c.rate, got, c.want)
		}
	}
}
