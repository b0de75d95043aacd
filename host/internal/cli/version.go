package cli

import (
	"fmt"
	"os"
	"runtime"
	"sync"

	"github.com/spf13/cobra"

	"github.com/mtt-project/mtt/host/internal/digest"
	"github.com/mtt-project/mtt/host/internal/run"
	"github.com/mtt-project/mtt/proto/wire"
)

// version is that of mtt-host; releases set it when they link.
var version = "0.1.0-dev"

func newVersion() *cobra.Command {
	var common common
	command := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  exactly(0),
		RunE: func(command *cobra.Command, _ []string) error {
			if err := common.check(); err != nil {
				return err
			}
			if common.json() {
				return printJSON(command.OutOrStdout(), map[string]any{
					"schema": "mtt.version/v1", "version": version, "protocol": wire.ProtocolVersion,
					"go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH,
				})
			}
			_, err := fmt.Fprintf(command.OutOrStdout(), "mtt-host %s (protocol %d, %s, %s/%s)\n",
				version, wire.ProtocolVersion, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
	common.addFormat(command.Flags())
	return command
}

// thisHost is the identity of the running executable, which takes a while to compute: it begins when it is first called.
var thisHost = sync.OnceValues(func() (run.Host, error) {
	path, err := os.Executable()
	if err != nil {
		return run.Host{}, err
	}
	sum, err := digest.File(path)
	return run.Host{Version: version, SHA256: sum}, err
})
