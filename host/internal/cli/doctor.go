package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/mtt-project/mtt/host/internal/doctor"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

func newDoctor() *cobra.Command {
	var (
		common  common
		install string
	)
	command := &cobra.Command{
		Use:   "doctor",
		Short: "Look at what mtt needs of this machine, and say what to do about problems",
		Long: `Look at what mtt needs of this machine, and say what to do about problems.

--install has pip fetch XLA for a device, check the digests, and unpack it into
mtt's own directory (MTT_SITE, by default ~/.local/share/mtt/site):
xla-cpu is 63 MB, cuda about 2.5 GB.`,
		Args: exactly(0),
		RunE: func(command *cobra.Command, _ []string) error {
			if err := common.check(); err != nil {
				return err
			}
			if install != "" {
				signals, release := catch(command.Context())
				defer release()
				if err := doctor.Install(signals.stop, install, command.ErrOrStderr()); err != nil {
					return err
				}
			}
			registry, err := run.Open(common.outputs)
			if err != nil {
				return err
			}
			return printChecks(command, common, doctor.Examine(command.Context(), registry.Root(), version))
		},
	}
	common.add(command.Flags())
	command.Flags().StringVar(&install, "install", "", "install first: xla-cpu or cuda")
	return command
}

func printChecks(command *cobra.Command, common common, checks []doctor.Check) error {
	problems := 0
	for _, check := range checks {
		if check.Status == doctor.Problem {
			problems++
		}
	}
	var err error
	if common.json() {
		err = printJSON(command.OutOrStdout(), map[string]any{"schema": "mtt.doctor/v1", "ok": problems == 0, "checks": checks})
	} else {
		rows := [][]string{}
		for _, check := range checks {
			rows = append(rows, []string{string(check.Status), check.Name, check.Found})
			if check.Remedy != "" {
				rows = append(rows, []string{"", "", "→ " + check.Remedy})
			}
		}
		err = printTable(command.OutOrStdout(), rows)
	}
	if err == nil && problems > 0 {
		err = exit.Errorf(exit.Usage, "%s would stop runs", fmt.Sprintf("%d problem(s)", problems))
	}
	return err
}
