package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mtt-project/mtt/host/internal/backend/modal"
	"github.com/mtt-project/mtt/host/internal/doctor"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
	"github.com/mtt-project/mtt/host/internal/scratch"
)

func newDoctor() *cobra.Command {
	var (
		common  common
		install string
		try     bool
	)
	command := &cobra.Command{
		Use:   "doctor",
		Short: "Look at what mtt needs of this machine, or of Modal, and say what to do about problems",
		Long: `Look at what mtt needs of this machine, and say what to do about problems.

With -b modal, look at what it needs of Modal: credentials, the calls that it
makes, the app, the volume and what is on it, and the Sandboxes that live; and
say which of these do nothing but cost. This only reads. --try also writes, and
makes what the first run would make: files on the volume, which are removed
again, and one Sandbox without a GPU, for about a minute. That costs a few cents
at most, and checks what mtt believes of Modal.

--install has pip fetch XLA for a device, check the digests, and unpack it into
mtt's own directory (MTT_SITE, by default ~/.local/share/mtt/site):
xla-cpu is 63 MB, cuda about 2.5 GB.

The exit code is 2 if there are problems, or if they are all of one kind that
has a code of its own, that: 4 for credentials, 69 for a Modal that does not
answer, or does otherwise than mtt needs.`,
		Example: `  mtt-host doctor
  mtt-host doctor --install xla-cpu
  mtt-host doctor -b modal --try`,
		Args: exactly(0),
		RunE: func(command *cobra.Command, _ []string) error {
			if err := common.check(); err != nil {
				return err
			}
			if try && common.backend != onModal {
				return exit.Errorf(exit.Usage, "--try: this is for Modal").Hint("Add -b modal.")
			}
			signals, release := catch(command.Context())
			defer release()
			if install != "" {
				if err := doctor.Install(signals.stop, install, command.ErrOrStderr()); err != nil {
					return err
				}
			}
			checks, err := examine(signals.stop, command, common, try)
			if err != nil {
				return err
			}
			if cause := context.Cause(signals.stop); cause != nil {
				return cause
			}
			return printChecks(command, common, checks)
		},
	}
	common.add(command.Flags())
	command.Flags().StringVar(&install, "install", "", "install first: xla-cpu or cuda")
	command.Flags().BoolVar(&try, "try", false, "with -b modal: also write files, and start a Sandbox without a GPU for about a minute")
	return command
}

func examine(ctx context.Context, command *cobra.Command, common common, try bool) ([]doctor.Check, error) {
	if common.backend != onModal {
		registry, err := run.Open(common.outputs)
		if err != nil {
			return nil, err
		}
		return doctor.Examine(ctx, registry.Root(), version), nil
	}
	cache, err := scratch.Cache("")
	if err != nil {
		return nil, err
	}
	checks := doctor.ExamineForElsewhere(ctx, cache, version)
	checks = append(checks, modal.Examine(ctx, modal.Examination{
		Environment: common.modalEnv, Volume: common.volume, Host: hostForModal, Try: try,
		Say: func(text string) { fmt.Fprintln(command.ErrOrStderr(), text) }, Patience: impatience,
	})...)
	for i, check := range checks {
		checks[i].Remedy = withOutputs(check.Remedy, command.Flags())
	}
	return checks, nil
}

func printChecks(command *cobra.Command, common common, checks []doctor.Check) error {
	code := doctor.Code(checks)
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
			rows = withLines(rows, string(check.Status), check.Name, check.Found)
			for line := range strings.Lines(check.Remedy) {
				rows = append(rows, []string{"", "", "→ " + strings.TrimRight(line, "\n")})
			}
		}
		err = printTable(command.OutOrStdout(), rows)
	}
	if err == nil && problems > 0 {
		err = exit.Errorf(code, "%s would stop runs", fmt.Sprintf("%d problem(s)", problems))
	}
	return err
}
