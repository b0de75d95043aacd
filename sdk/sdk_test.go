package sdk

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

type testConfig struct {
	Steps  int64   `json:"steps" jsonschema:"training steps"`
	Rate   float64 `json:"rate"`
	Layers []int   `json:"layers"`
	Adam   struct {
		Beta float64 `json:"beta"`
	} `json:"adam"`
}

func TestSchemaHasEveryDefaultAndAdmitsNoOtherKey(t *testing.T) {
	defaults := testConfig{Steps: 600, Rate: 0.1, Layers: []int{4, 2}}
	defaults.Adam.Beta = 0.9
	raw, err := schemaOf(defaults)
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Required             []string `json:"required"`
		AdditionalProperties any      `json:"additionalProperties"`
		Properties           map[string]struct {
			Default     json.RawMessage `json:"default"`
			Description string          `json:"description"`
			Properties  map[string]struct {
				Default json.RawMessage `json:"default"`
			} `json:"properties"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(raw, &schema); err != nil {
		t.Fatal(err)
	}
	if schema.Required != nil || schema.AdditionalProperties != false {
		t.Errorf("required %v, additionalProperties %v", schema.Required, schema.AdditionalProperties)
	}
	for key, want := range map[string]string{"steps": "600", "rate": "0.1", "layers": "[4,2]"} {
		if got := string(schema.Properties[key].Default); got != want {
			t.Errorf("the default of %s is %s, want %s", key, got, want)
		}
	}
	if got := string(schema.Properties["adam"].Properties["beta"].Default); got != "0.9" {
		t.Errorf("the default of adam.beta is %s", got)
	}
	if schema.Properties["steps"].Description != "training steps" {
		t.Error("the description is lost")
	}
}

func TestConfigurationIsReadStrictlyOverTheDefaults(t *testing.T) {
	defaults := testConfig{Steps: 600, Rate: 0.1}
	config, err := parseConfig(defaults, []byte(`{"steps": 9007199254740993}`))
	if err != nil || config.Steps != 9007199254740993 || config.Rate != 0.1 {
		t.Errorf("got %+v, %v", config, err)
	}
	if _, err := parseConfig(defaults, []byte(`{"setps": 3}`)); err == nil || !strings.Contains(err.Error(), "setps") {
		t.Errorf("an unknown key: %v", err)
	}
}

func TestWrongExperimentIsRefused(t *testing.T) {
	train := func(*Run, testConfig) (Result, error) { return nil, nil }
	for want, experiment := range map[string]Experiment[testConfig]{
		"Name":             {Name: "Digits", Train: train},
		"CheckpointPrefix": {Name: "digits", CheckpointPrefix: "a/b", Train: train},
		"no Train":         {Name: "digits"},
		"no direction":     {Name: "digits", Train: train, Metrics: map[string]Direction{"accuracy": 0}},
		"device":           {Name: "digits", Train: train, Devices: []string{"tpu"}},
	} {
		if _, err := newServer(experiment); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	if _, err := newServer(Experiment[int]{Name: "digits"}); err == nil {
		t.Error("a configuration that is no struct was taken")
	}
}

func TestCadence(t *testing.T) {
	every10 := newCadence(&experimentv1.Cadence{Steps: 10}, 25)
	var due []int64
	for step := int64(26); step <= 55; step++ {
		if every10.due(step) {
			due = append(due, step)
			every10.saved(step)
		}
	}
	if len(due) != 3 || due[0] != 30 || due[1] != 40 || due[2] != 50 {
		t.Errorf("resumed at 25, every 10 steps: due at %v", due)
	}
	never := newCadence(nil, 0)
	hourly := newCadence(&experimentv1.Cadence{Interval: durationpb.New(time.Hour)}, 0)
	if never.due(1) || hourly.due(1) {
		t.Error("due too early")
	}
	hourly.savedTime = hourly.savedTime.Add(-time.Hour)
	if !hourly.due(1) || hourly.due(0) {
		t.Error("not due after its time, or due without a step")
	}
}

func TestPanicOfAnyKindIsReportedAsSuch(t *testing.T) {
	for name, train := range map[string]func() (Result, error){
		"a word":           func() (Result, error) { panic("a word") },
		"index out":        func() (Result, error) { var w []int; return Result{"x": float64(w[len(os.Args)])}, nil },
		"an error's words": func() (Result, error) { panic(errors.New("an error's words")) },
	} {
		_, err := protect(train)
		var panicked *panicError
		if !errors.As(err, &panicked) || !strings.Contains(err.Error(), name) || !strings.Contains(string(panicked.stack), "sdk_test.go") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	ended, err := protect(func() (Result, error) { runtime.Goexit(); return nil, nil })
	if err == nil || ended != nil {
		t.Error("a goroutine that was ended counts as a result")
	}
}

func TestByHandItSaysWhatItIs(t *testing.T) {
	program := filepath.Join(t.TempDir(), "hello")
	if out, err := exec.Command("go", "build", "-o", program, "./testdata/hello").CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	out, err := exec.Command(program).CombinedOutput()
	var ended *exec.ExitError
	if !errors.As(err, &ended) || ended.ExitCode() != 2 {
		t.Errorf("by hand: %v", err)
	}
	for _, want := range []string{"is an experiment of mtt", "Says hello", "mtt-host run " + program, "-describe"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	described, err := exec.Command(program, "-describe").Output()
	if err != nil {
		t.Fatal(err)
	}
	var description description
	if err := json.Unmarshal(described, &description); err != nil {
		t.Fatal(err)
	}
	if description.Schema != "mtt.plugin/v1" || description.Name != "hello" || description.CheckpointPrefix != "hello" ||
		!description.ExactResume || description.Metrics["greeting"] != "max" {
		t.Errorf("it describes itself as %+v", description)
	}
}
