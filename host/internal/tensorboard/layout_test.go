package tensorboard_test

import (
	"os"
	"reflect"
	"testing"

	"github.com/mtt-project/mtt/host/internal/tensorboard/layouttest"
)

var models = map[string]layouttest.Model{"Rust": layouttest.Rust, "Python": layouttest.Python}

// soaked is how often something random is tried: more often in `make soak`.
func soaked(usual, soak uint64) uint64 {
	if os.Getenv("MTT_SOAK") != "" {
		return soak
	}
	return usual
}

func TestBothLoadersShowExactlyTheKeptAndTheNewPoints(t *testing.T) {
	for seed := range soaked(300, 20_000) {
		experiment := layouttest.Random(seed, 6)
		files := experiment.Write(t)
		alone := []layouttest.File{layouttest.Alone(t, experiment.Final())}
		for name, shows := range models {
			if got, want := shows(files), shows(alone); !reflect.DeepEqual(got, want) {
				t.Errorf("experiment %d: the %s loader shows\n%v\nof a run left alone\n%v", seed, name, got, want)
			}
		}
		if t.Failed() {
			return
		}
	}
}
