package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mtt-project/mtt/host/internal/plugin"
	"github.com/mtt-project/mtt/host/internal/run"
	"github.com/mtt-project/mtt/host/internal/scratch"
)

func newPlugin() *cobra.Command {
	command := &cobra.Command{
		Use:   "plugin",
		Short: "Ask plugins what they are",
		Args:  noSuchCommand,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newPluginDescribe())
	return command
}

func newPluginDescribe() *cobra.Command {
	var (
		common  common
		options pluginOptions
	)
	command := &cobra.Command{
		Use:   "describe PLUGIN",
		Short: "Show an experiment: its configuration with the defaults, its metrics, its devices",
		Args:  exactly(1),
		RunE: func(command *cobra.Command, args []string) error {
			if err := common.check(); err != nil {
				return err
			}
			settings := run.DefaultOptions()
			if err := options.apply(&settings); err != nil {
				return err
			}
			signals, release := catch(command.Context())
			defer release()
			description, err := describe(signals.stop, args[0], settings)
			if signals.stop.Err() != nil {
				return context.Cause(signals.stop)
			}
			if err != nil {
				return err
			}
			if common.json() {
				return printJSON(command.OutOrStdout(), description)
			}
			return printDescription(command, description)
		},
	}
	common.addFormat(command.Flags())
	options.add(command.Flags())
	return command
}

// describe asks a plugin what it is, and leaves nothing behind.
func describe(ctx context.Context, name string, settings run.Options) (*plugin.Description, error) {
	source, err := plugin.Find(name)
	if err != nil {
		return nil, err
	}
	var executable plugin.Executable
	if source.Directory {
		dir, err := scratch.New()
		if err != nil {
			return nil, err
		}
		defer dir.Close()
		executable, err = plugin.Install(ctx, source, dir.Path)
		if err != nil {
			return nil, err
		}
	} else if executable, err = plugin.InPlace(source); err != nil {
		return nil, err
	}
	environment, err := settings.Environment(os.LookupEnv)
	if err != nil {
		return nil, err
	}
	return plugin.Describe(ctx, executable, environment, time.Duration(settings.StartTimeout))
}

func printDescription(command *cobra.Command, description *plugin.Description) error {
	metrics := make([]string, 0, len(description.Metrics))
	for _, name := range sortedKeys(description.Metrics) {
		metrics = append(metrics, fmt.Sprintf("%s (%s)", name, description.Metrics[name]))
	}
	var schema bytes.Buffer
	if err := json.Indent(&schema, description.ConfigSchema, "", "  "); err != nil {
		return err
	}
	err := printTable(command.OutOrStdout(), [][]string{
		{"experiment", strings.TrimSpace(description.Name + " " + description.Version)},
		{"summary", description.Summary},
		{"result", strings.Join(metrics, ", ")},
		{"devices", cmp.Or(strings.Join(description.Devices, ", "), "go")},
		{"exact resume", fmt.Sprint(description.ExactResume)},
		{"checkpoints", description.CheckpointPrefix + "-*"},
		{"sdk", description.SDKVersion},
		{"digest", description.SHA256},
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(command.OutOrStdout(), "\nconfiguration %s\n", schema.String())
	return err
}
