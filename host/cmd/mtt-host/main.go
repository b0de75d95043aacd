// Command mtt-host runs machine-learning experiments so that they survive being killed.
package main

import (
	"os"

	"github.com/mtt-project/mtt/host/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr)) }
