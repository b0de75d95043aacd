package price

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// table are the prices in dollars per second.
type table struct {
	cpuCore   float64
	memoryGiB float64
	gpu       map[string]float64
	file      string // where a missing one belongs
}

// load returns the defaults, overlaid with the person's file.
func load() (*table, error) {
	t := &table{cpuCore: defaultCPU.dollars, memoryGiB: defaultMemory.dollars, gpu: map[string]float64{}}
	for _, figure := range defaultGPUs {
		t.gpu[figure.name] = figure.dollars
	}
	t.file = os.Getenv("MTT_PRICES")
	named := t.file != ""
	if !named {
		config := os.Getenv("XDG_CONFIG_HOME")
		if config == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return nil, exit.Errorf(exit.Usage, "cannot tell where the prices are: %w", err).
					Hint("Name the file with MTT_PRICES.")
			}
			config = filepath.Join(home, ".config")
		}
		t.file = filepath.Join(config, "mtt", "prices.toml")
	}
	raw, err := os.ReadFile(t.file)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return t, nil
	}
	if err == nil {
		err = t.overlay(raw)
	}
	if err != nil {
		return nil, exit.Errorf(exit.Usage, "cannot read the prices in %q: %w", t.file, err).
			Hint("It is TOML, in dollars per second: cpu_core = 0.00004, memory_gib = 0.000007, and in a table [gpu] lines such as \"H100\" = 0.0011.")
	}
	return t, nil
}

func (t *table) overlay(raw []byte) error {
	var file struct {
		CPUCore   *float64           `toml:"cpu_core"`
		MemoryGiB *float64           `toml:"memory_gib"`
		GPU       map[string]float64 `toml:"gpu"`
	}
	decoder := toml.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return explain(err)
	}
	if err := set(&t.cpuCore, defaultCPU.name, file.CPUCore); err != nil {
		return err
	}
	if err := set(&t.memoryGiB, defaultMemory.name, file.MemoryGiB); err != nil {
		return err
	}
	given := map[string]float64{}
	for name, dollars := range file.GPU {
		if err := check("gpu."+name, dollars); err != nil {
			return err
		}
		kind := canonical(name)
		given[kind] = max(given[kind], dollars) // "A100" and "A100-40GB" may both be there
	}
	maps.Copy(t.gpu, given)
	return nil
}

// explain says where in the file a mistake is.
func explain(err error) error {
	var (
		unknown *toml.StrictMissingError
		wrong   *toml.DecodeError
	)
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("there is no key %s", strings.Join(unknown.Errors[0].Key(), "."))
	case errors.As(err, &wrong):
		line, _ := wrong.Position()
		return fmt.Errorf("line %d: %w", line, err)
	}
	return err
}

// set sets a price to the one that is given, if there is one.
func set(price *float64, name string, given *float64) error {
	if given == nil {
		return nil
	}
	*price = *given
	return check(name, *given)
}

// most is a price a second beyond which what a run costs is no number any more.
const most = 1e6

// check refuses what is no price: with one of 0 any cost would be within any limit.
func check(name string, dollars float64) error {
	if !(dollars > 0 && dollars <= most) { // as NaN is not
		return fmt.Errorf("%s = %v is no price", name, dollars)
	}
	return nil
}

// canonical is the one name of a kind of GPU that the prices are kept under.
func canonical(name string) string {
	name = strings.ToUpper(name)
	if same, ok := sameAs[name]; ok {
		return same
	}
	return name
}
