package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/mtt-project/mtt/host/internal/config"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/scratch"
	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
)

// Description is what a plugin says of itself.
type Description struct {
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
	SHA256           string            `json:"sha256"`

	Config *config.Schema `json:"-"`
}

// ReadDescription reads what a Describe on another machine has printed as JSON.
func ReadDescription(raw []byte) (*Description, error) {
	d := new(Description)
	err := json.Unmarshal(raw, d)
	if err == nil {
		d.Config, err = config.ParseSchema(d.ConfigSchema)
	}
	if err != nil {
		return nil, fmt.Errorf("read a plugin's description: %w", err)
	}
	return d, nil
}

// Describe starts the executable, asks it what it is, and ends it. It gets the same environment as for training, less
// what a device needs.
func Describe(ctx context.Context, executable Executable, env map[string]string, timeout time.Duration) (*Description, error) {
	dir, err := scratch.New()
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	sockets, err := dir.Sockets()
	if err != nil {
		return nil, err
	}
	plugin, err := Start(ctx, Options{
		Executable: executable,
		Sockets:    sockets,
		Temporary:  dir.Path,
		Directory:  dir.Path,
		Env:        Environment(os.Environ(), env),
		Timeout:    timeout,
	})
	if err != nil {
		return nil, err
	}
	defer plugin.Kill()
	return plugin.describe(ctx, executable, timeout)
}

func (p *Plugin) describe(ctx context.Context, executable Executable, timeout time.Duration) (*Description, error) {
	// No deadline: gRPC would tell the plugin, and its own cancellation could arrive first, as another error.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer time.AfterFunc(timeout, cancel).Stop()
	answer, err := p.ExperimentServiceClient.Describe(ctx, &experimentv1.DescribeRequest{})
	if ctx.Err() != nil {
		return nil, exit.Errorf(exit.Plugin, "%s did not answer Describe within %s%s", p.path, timeout, quoted(p.output.tail())).
			Hint("Describe comes before anything is loaded or trained. If it needs longer: --start-timeout 2m.")
	}
	if err != nil {
		explained := p.Explain(err)
		if exit.Of(explained) == exit.Usage {
			return nil, explained
		}
		if explained != err {
			return nil, exit.Errorf(endCode(explained), "%s ended in Describe: %w", p.path, explained).Hint(askByHand)
		}
		return nil, exit.Errorf(exit.Plugin, "%s answered Describe with an error: %s", p.path, Refusal(err)).Hint(askByHand)
	}
	return fromProto(answer, executable)
}

func fromProto(answer *experimentv1.DescribeResponse, executable Executable) (*Description, error) {
	broken := func(what, value string) error {
		return exit.Errorf(exit.Plugin, "%s broke the protocol: its %s is %.100q, and must be a lower-case name such as \"digits\"", executable.Name, what, value)
	}
	if err := wire.CheckDescribed(answer); err != nil {
		return nil, exit.Errorf(exit.Plugin, "%s broke the protocol: %w", executable.Name, err)
	}
	if !wire.ValidName(answer.GetName()) {
		return nil, broken("name", answer.GetName())
	}
	if !wire.ValidName(answer.GetCheckpointPrefix()) {
		return nil, broken("checkpoint prefix", answer.GetCheckpointPrefix())
	}
	schema, err := config.ParseSchema(answer.GetConfigSchema())
	if err != nil {
		return nil, exit.Errorf(exit.Plugin, "%s broke the protocol: %w", executable.Name, err)
	}
	description := &Description{
		Schema:           "mtt.plugin/v1",
		Name:             answer.GetName(),
		Version:          answer.GetVersion(),
		Summary:          answer.GetSummary(),
		SDKVersion:       answer.GetSdkVersion(),
		CheckpointPrefix: answer.GetCheckpointPrefix(),
		ConfigSchema:     answer.GetConfigSchema(),
		Devices:          append([]string{}, answer.GetDevices()...),
		Metrics:          map[string]string{},
		SHA256:           executable.SHA256,
		Config:           schema,
	}
	for _, capability := range answer.GetCapabilities() {
		if capability == experimentv1.Capability_CAPABILITY_EXACT_RESUME {
			description.ExactResume = true
		}
	}
	for _, metric := range answer.GetResultMetrics() {
		switch metric.GetDirection() {
		case experimentv1.Direction_DIRECTION_MAX:
			description.Metrics[metric.GetName()] = "max"
		case experimentv1.Direction_DIRECTION_MIN:
			description.Metrics[metric.GetName()] = "min"
		}
	}
	return description, nil
}
