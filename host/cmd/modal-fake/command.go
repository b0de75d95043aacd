package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/mtt-project/mtt/host/internal/modalfake"
	"github.com/mtt-project/mtt/host/internal/modalfake/faults"
	"github.com/mtt-project/mtt/host/internal/modalfake/sandbox"
)

func command() *cobra.Command {
	var (
		cfg     modalfake.Config
		mounts  string
		seed    uint64
		set     []string
		verbose bool
	)
	root := &cobra.Command{
		Use:   "modal-fake --state DIR [--env-file FILE]",
		Short: "An offline stand-in for Modal's control plane, for tests",
		Long: "An offline stand-in for Modal's control plane, for tests. It serves until SIGINT or SIGTERM, and prints its address.\n" +
			"Its Sandboxes are processes of this machine, without any wall around them.",
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Dice = faults.New(seed)
			cfg.Mounts = sandbox.Mode(mounts)
			assignments, err := parse(set)
			if err != nil {
				return err
			}
			for _, a := range assignments {
				if err := cfg.Dice.Set(a.Name, a.Value); err != nil {
					return err
				}
			}
			level := slog.LevelWarn
			if verbose {
				level = slog.LevelInfo
			}
			cfg.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
			return serve(cmd, cfg)
		},
	}
	flags := root.Flags()
	root.PersistentFlags().StringVar(&cfg.State, "state", "", "`directory` of all that the fake keeps")
	_ = root.MarkPersistentFlagRequired("state")
	flags.StringVar(&cfg.Listen, "listen", "127.0.0.1:0", "loopback `address` of the control plane")
	flags.StringVar(&cfg.EnvFile, "env-file", "", "`file` to write for a shell to source: the MODAL_* variables of a client")
	flags.StringVar(&mounts, "mounts", "", "how Sandboxes see their volumes: `namespaces` or rewriting; the best there is if not given")
	flags.Uint64Var(&seed, "seed", 1, "of the dice")
	flags.StringArrayVar(&set, "set", nil, "`name=value` of a setting; `modal-fake settings` lists them")
	flags.BoolVarP(&verbose, "verbose", "v", false, "log every call")
	root.AddCommand(settingsCommand(), setCommand(&cfg.State), preemptCommand(&cfg.State), rotateCommand(&cfg.State), callsCommand(&cfg.State))
	return root
}

func serve(cmd *cobra.Command, cfg modalfake.Config) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	server, err := modalfake.Start(cfg)
	if err != nil {
		return err
	}
	fmt.Fprintln(cmd.OutOrStdout(), server.URL())
	<-stop
	return server.Close()
}

func parse(assignments []string) (parsed []modalfake.Assignment, err error) {
	for _, a := range assignments {
		name, value, ok := strings.Cut(a, "=")
		if !ok {
			return nil, fmt.Errorf("%q is not name=value", a)
		}
		parsed = append(parsed, modalfake.Assignment{Name: name, Value: value})
	}
	return parsed, nil
}

func settingsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "settings",
		Short: "List the settings and their defaults",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return list(cmd, faults.New(0).List())
		},
	}
	c.Flags().String("state", "", "") // in place of the one that the others need
	_ = c.Flags().MarkHidden("state")
	return c
}

func setCommand(state *string) *cobra.Command {
	return &cobra.Command{
		Use:   "set --state DIR [NAME=VALUE…]",
		Short: "Change settings of the running fake, and list them",
		RunE: func(cmd *cobra.Command, args []string) error {
			assignments, err := parse(args)
			if err != nil {
				return err
			}
			return tell(cmd, *state, modalfake.Order{Set: assignments})
		},
	}
}

func preemptCommand(state *string) *cobra.Command {
	var reported string
	c := &cobra.Command{
		Use:   "preempt --state DIR {SANDBOX|TASK|NAME|all}…",
		Short: "Take the machine away from Sandboxes, now",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			o := modalfake.Order{Preempt: args}
			if reported != "" {
				o.Set = []modalfake.Assignment{{Name: "preempt-status", Value: reported}}
			}
			_, err := modalfake.Tell(*state, o)
			return err
		},
	}
	c.Flags().StringVar(&reported, "status", "", "set preempt-status to this `status` before")
	return c
}

func rotateCommand(state *string) *cobra.Command {
	return &cobra.Command{
		Use:       "rotate --state DIR {auth-tokens|credentials}",
		Short:     "Make void what was given out; with credentials, write the env file again",
		Args:      cobra.ExactArgs(1),
		ValidArgs: []string{"auth-tokens", "credentials"},
		RunE: func(_ *cobra.Command, args []string) error {
			_, err := modalfake.Tell(*state, modalfake.Order{Rotate: args[0]})
			return err
		},
	}
}

func callsCommand(state *string) *cobra.Command {
	return &cobra.Command{
		Use:   "calls --state DIR",
		Short: "Print how often each call has come since the fake was started, and how often it was refused, as JSON",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			calls, err := modalfake.CallsOf(*state)
			if err != nil {
				return err
			}
			encoder := json.NewEncoder(cmd.OutOrStdout())
			encoder.SetIndent("", "  ")
			return encoder.Encode(calls)
		},
	}
}

func tell(cmd *cobra.Command, state string, o modalfake.Order) error {
	raw, err := modalfake.Tell(state, o)
	if err != nil {
		return err
	}
	var settings []faults.Setting
	if err := json.Unmarshal(raw, &settings); err != nil {
		return err
	}
	return list(cmd, settings)
}

func list(cmd *cobra.Command, settings []faults.Setting) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
	for _, s := range settings {
		fmt.Fprintf(w, "%s=%s\t%s\n", s.Name, s.Value, s.Usage)
	}
	return w.Flush()
}
