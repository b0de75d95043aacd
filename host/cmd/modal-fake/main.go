// Command modal-fake is an offline stand-in for Modal's control plane, for tests: see host/internal/modalfake.
package main

import (
	"os"

	"github.com/mtt-project/mtt/host/internal/modalfake/sandbox"
)

func main() {
	sandbox.Helper() // does not return in the process of a Sandbox
	if err := command().Execute(); err != nil {
		os.Exit(1)
	}
}
