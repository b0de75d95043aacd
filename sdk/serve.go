package sdk

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"

	"github.com/mtt-project/mtt/proto/wire"
)

// Serve is an experiment's main: it serves the experiment to the host that started the program, and returns when the
// host is done with it. Started by a person it says what it is, or, with -describe, prints it as JSON, and exits.
func Serve[C any](experiment Experiment[C]) {
	server, err := newServer(experiment)
	if err != nil {
		fmt.Fprintf(os.Stderr, "sdk.Serve: %v\n", err)
		os.Exit(2)
	}
	if os.Getenv(wire.CookieKey) != wire.CookieValue {
		os.Exit(byHand(server, os.Args[1:]))
	}
	outliveSignals()
	leaveWithHost()
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig:  goplugin.HandshakeConfig{MagicCookieKey: wire.CookieKey, MagicCookieValue: wire.CookieValue},
		VersionedPlugins: map[int]goplugin.PluginSet{wire.ProtocolVersion: {wire.PluginName: servedPlugin{server: server}}},
		GRPCServer:       newGRPCServer,
		Logger:           hclog.NewNullLogger(),
	})
	server.wait() // go-plugin returns as soon as the host says so, and Train may still be on its way out
}

// byHand answers a person, and returns the exit code.
func byHand(server *server, args []string) int {
	if len(args) == 1 && (args[0] == "-describe" || args[0] == "--describe") {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(server.description()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	path, err := os.Executable()
	if err != nil {
		path = os.Args[0]
	}
	fmt.Fprintf(os.Stderr, `%s is an experiment of mtt: a plugin, which mtt-host runs.
%s
  run it:                 mtt-host run %s
  see its configuration:  %s -describe
`, server.name, server.summary, path, filepath.Base(path))
	if len(args) == 1 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help") {
		return 0
	}
	return 2
}
