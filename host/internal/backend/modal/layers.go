package modal

import (
	"regexp"
	"strings"

	"github.com/mtt-project/mtt/host/internal/doctor"
	"github.com/mtt-project/mtt/host/internal/exit"
)

// site is where the wheels of XLA are in an image, as on a machine where mtt-host doctor has installed them.
const site = "/opt/mtt/site"

// Layers returns the Dockerfile commands of a run's image: the packages, and for a GPU XLA with its libraries, each
// pinned by its digest. Modal builds a layer once and keeps it.
func Layers(gpu bool, apt []string) []string {
	layers := []string{}
	if len(apt) > 0 {
		layers = append(layers, "RUN apt-get update && apt-get install --yes --no-install-recommends "+strings.Join(apt, " ")+" && rm -rf /var/lib/apt/lists/*")
	}
	if gpu {
		install := "RUN printf '%s\\n'"
		for _, requirement := range doctor.Requirements("cuda") {
			install += " '" + requirement + "'"
		}
		install += " > /tmp/mtt-requirements && python3 -m pip install --no-cache-dir --no-deps --only-binary=:all: --require-hashes --target " + site +
			" --requirement /tmp/mtt-requirements && rm /tmp/mtt-requirements"
		layers = append(layers, install, "ENV MTT_SITE="+site)
	}
	return layers
}

var (
	gpuPattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*[!+]?(:[1-9][0-9]?)?$`)
	aptPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9+.:=~-]*$`)
)

// CheckGPU refuses what cannot be the name of a GPU. Whether Modal has one of that name, only Modal knows.
func CheckGPU(gpu string) error {
	if !gpuPattern.MatchString(gpu) {
		return exit.Errorf(exit.Usage, "--gpu %s: want a type such as H100, or a type and a number such as H100:2", gpu)
	}
	return nil
}

// CheckPackage refuses what cannot be the name of a Debian package.
func CheckPackage(name string) error {
	if !aptPattern.MatchString(name) {
		return exit.Errorf(exit.Usage, "--apt %s: this is no name of a Debian package", name)
	}
	return nil
}
