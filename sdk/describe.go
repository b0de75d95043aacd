package sdk

import (
	"encoding/json"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
)

// description is what an experiment says of itself, as -describe prints it.
type description struct {
	Schema           string            `json:"schema"` // mtt.plugin/v1
	Name             string            `json:"name"`
	Version          string            `json:"version"`
	Summary          string            `json:"summary"`
	SDKVersion       string            `json:"sdk_version"`
	CheckpointPrefix string            `json:"checkpoint_prefix"`
	ConfigSchema     json.RawMessage   `json:"config_schema"`
	ExactResume      bool              `json:"exact_resume"`
	Devices          []string          `json:"devices"`
	Metrics          map[string]string `json:"metrics"` // name to "max" or "min"
}

var directions = map[Direction]struct {
	text string
	wire experimentv1.Direction
}{
	Max: {"max", experimentv1.Direction_DIRECTION_MAX},
	Min: {"min", experimentv1.Direction_DIRECTION_MIN},
}

func (s *server) description() description {
	d := description{
		Schema: "mtt.plugin/v1", Name: s.name, Version: s.version, Summary: s.summary, SDKVersion: version(),
		CheckpointPrefix: s.prefix, ConfigSchema: s.schema, ExactResume: !s.inexact,
		Devices: append([]string{}, s.devices...), Metrics: map[string]string{},
	}
	for name, direction := range s.metrics {
		d.Metrics[name] = directions[direction].text
	}
	return d
}

func (s *server) describeResponse() *experimentv1.DescribeResponse {
	response := &experimentv1.DescribeResponse{
		Name: s.name, Version: s.version, Summary: s.summary, SdkVersion: version(),
		CheckpointPrefix: s.prefix, ConfigSchema: s.schema, Devices: s.devices,
	}
	if !s.inexact {
		response.Capabilities = []experimentv1.Capability{experimentv1.Capability_CAPABILITY_EXACT_RESUME}
	}
	for _, name := range slices.Sorted(maps.Keys(s.metrics)) {
		response.ResultMetrics = append(response.ResultMetrics, &experimentv1.ResultMetric{Name: name, Direction: directions[s.metrics[name]].wire})
	}
	return response
}

// check refuses an experiment that the host would refuse.
func (s *server) check() error {
	switch {
	case !wire.ValidName(s.name):
		return fmt.Errorf("the experiment's Name is %q: want a lower-case name such as \"digits\"", s.name)
	case !wire.ValidName(s.prefix):
		return fmt.Errorf("the experiment's CheckpointPrefix is %q: want a lower-case name such as \"digits\"", s.prefix)
	case s.train == nil:
		return fmt.Errorf("experiment %s has no Train", s.name)
	}
	for name, direction := range s.metrics {
		if _, ok := directions[direction]; !ok {
			return fmt.Errorf("metric %s of experiment %s has no direction: want sdk.Max or sdk.Min", name, s.name)
		}
	}
	for _, device := range s.devices {
		if !slices.Contains([]string{"go", "cpu", "cuda"}, device) {
			return fmt.Errorf("device %q of experiment %s: want go, cpu or cuda", device, s.name)
		}
	}
	return wire.CheckDescribed(s.describeResponse())
}

// version is that of this module in the program that was built with it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, module := range info.Deps {
		if module.Path == "github.com/mtt-project/mtt/sdk" {
			return module.Version
		}
	}
	return "unknown"
}
