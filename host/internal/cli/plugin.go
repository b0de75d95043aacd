package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mtt-project/mtt/host/internal/launch"
	"github.com/mtt-project/mtt/host/internal/plugin"
	"github.com/mtt-project/mtt/host/internal/run"
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
		options runOptions
	)
	command := &cobra.Command{
		Use:   "describe PLUGIN",
		Short: "Show an experiment: its configuration with the defaults, its metrics, its devices",
		Args:  exactly(1),
		RunE: func(command *cobra.Command, args []string) error {
			registry, err := common.registry()
			if err != nil {
				return err
			}
			settings := run.DefaultOptions()
			if err := options.apply(&settings); err != nil {
				return err
			}
			interrupts, release := catch(command.Context())
			defer release()
			ctx, cancel := interrupts.preparing()
			defer cancel()
			_, description, err := launch.Install(ctx, registry, args[0], settings)
			if err != nil {
				return err
			}
			if common.json() {
				return printJSON(command.OutOrStdout(), description)
			}
			return printDescription(command, description)
		},
	}
	common.add(command.Flags())
	options.add(command.Flags())
	return command
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
		{"devices", strings.Join(description.Devices, ", ")},
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
