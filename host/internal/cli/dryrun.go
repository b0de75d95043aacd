package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/modal"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/launch"
	"github.com/mtt-project/mtt/host/internal/plugin"
	"github.com/mtt-project/mtt/host/internal/run"
)

// planInfo is what `run --dry-run` prints.
type planInfo struct {
	Schema     string          `json:"schema"` // mtt.plan/v1
	Experiment string          `json:"experiment"`
	Backend    string          `json:"backend"`
	Outputs    string          `json:"outputs"` // directory, or name of the volume
	GoesOn     string          `json:"goes_on,omitempty"`
	Config     json.RawMessage `json:"config"`
	Seed       uint64          `json:"seed"`
	Options    run.Options     `json:"options"`
	Plugin     string          `json:"plugin_sha256,omitempty"` // unknown before it is built on Modal
	BuiltIn    string          `json:"built_in,omitempty"`      // image in which it would be built there
	// BytesToSend is what of the executables is not on the volume yet, and the source that is to be built there.
	BytesToSend int64 `json:"bytes_to_send"`
	// Unsure is what could not be looked at.
	Unsure string `json:"unsure,omitempty"`
}

// dryRun says what `run` would do. Nothing is sent, and nothing but the plugin's build, in a cache, is written.
func dryRun(command *cobra.Command, common common, request launch.Request, on place, elsewhere *modalOptions, options func(*run.Options) error) error {
	signals, release := catch(command.Context())
	defer release()
	request.Bin, request.Options = on.bin, options
	var source *plugin.Archive
	var buildSecrets []run.Secret
	build := elsewhere.build && on.elsewhere()
	if build {
		var err error
		if buildSecrets, err = parseSecrets("build-secret", elsewhere.buildSecrets); err != nil {
			return err
		}
		request.Install = func(ctx context.Context, options run.Options) (code run.Plugin, description *plugin.Description, err error) {
			source, code, description, err = on.planBuild(ctx, request.Plugin, options)
			return code, description, err
		}
	}
	spec, err := launch.Prepare(signals.stop, request)
	if err != nil {
		return err
	}
	info := planInfo{
		Schema: "mtt.plan/v1", Experiment: spec.Experiment, Backend: common.backend, Outputs: common.outputs,
		Config: spec.Config, Seed: spec.Seed, Options: spec.Options, Plugin: spec.Plugin.SHA256,
		Unsure: launch.Unsure(spec),
	}
	if on.elsewhere() {
		info.Outputs = common.volume
	}
	runs, err := on.refreshed(signals.stop, "")
	switch {
	case exit.Of(err) == exit.NotFound: // there is no volume yet, and so no run
	case err == nil && build: // a run goes on with its own code, and which that of the build is, nobody knows
	case err != nil:
		return err
	default:
		there, err := launch.Preview(signals.stop, runs, spec, request)
		if err != nil {
			return err
		}
		if there != nil {
			info.GoesOn = there.ID
		}
	}
	if on.elsewhere() {
		if err := on.check(signals.stop, spec, buildSecrets); err != nil {
			return err
		}
		if info.BytesToSend, err = on.toSend(signals.stop, spec); err != nil {
			return err
		}
	}
	if build {
		info.BuiltIn = modal.BuildImage(source)
		info.BytesToSend += int64(len(source.Raw))
	}
	if common.json() {
		return printJSON(command.OutOrStdout(), info)
	}
	return printPlan(command, info)
}

// toSend is how much of a run's executables is not on the volume, in bytes.
func (p place) toSend(ctx context.Context, spec *run.Spec) (bytes int64, err error) {
	uploads, err := p.executables(spec)
	if err != nil {
		return 0, err
	}
	if on, err := p.on(); err == nil {
		if uploads, err = on.(*modal.Backend).Missing(ctx, uploads); err != nil {
			return 0, err
		}
	}
	for _, upload := range uploads {
		bytes += upload.Size
	}
	return bytes, nil
}

func printPlan(command *cobra.Command, info planInfo) error {
	does := "begin a new run"
	if info.GoesOn != "" {
		does = "go on with run " + info.GoesOn
	}
	code := info.Plugin
	if info.BuiltIn != "" {
		does = "build the plugin, and begin a new run or go on with one of that very code"
		code = "built on Modal, in " + info.BuiltIn
	}
	rows := [][]string{
		{"experiment", info.Experiment},
		{"would", does},
		{"backend", info.Backend},
		{"outputs", info.Outputs},
		{"plugin", code},
		{"seed", fmt.Sprint(info.Seed)},
		{"checkpoints", fmt.Sprintf("every %s, %d kept", info.Options.Cadence, info.Options.Keep)},
		{"device", info.Options.Device},
	}
	if m := info.Options.Modal; m != nil {
		gpu := "none"
		if len(m.GPU) > 0 {
			gpu = strings.Join(m.GPU, ", or ")
		}
		rows = append(rows, [][]string{
			{"gpu", gpu},
			{"cpu", orDefault(m.CPU, "cores")},
			{"memory", orDefault(float64(m.MemoryMiB), "MiB")},
			{"image", m.Image},
			{"cost", costText(m)},
			{"to send", backend.SizeText(info.BytesToSend)},
		}...)
		for _, layer := range m.Layers {
			rows = append(rows, []string{"layer", shortened(layer)})
		}
		if info.Unsure != "" {
			rows = append(rows, []string{"warning", info.Unsure})
		}
	}
	if err := printTable(command.OutOrStdout(), rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(command.OutOrStdout(), "\nconfiguration %s\n", info.Config)
	return err
}

func costText(m *run.Modal) string {
	if m.MaxCost == 0 {
		return "no limit"
	}
	return fmt.Sprintf("at most %g US dollars: %.2f an hour and %.3f for the supervisor", m.MaxCost, 3600*m.Rate.Attempt, 3600*m.Rate.Supervisor)
}

func orDefault(n float64, unit string) string {
	if n == 0 {
		return "Modal's default"
	}
	return fmt.Sprintf("%g %s", n, unit)
}

// shortened is the beginning of a line that may have kilobytes.
func shortened(line string) string {
	const most = 100
	if len(line) > most {
		return line[:most] + "…"
	}
	return line
}
