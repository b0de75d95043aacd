package modal

import (
	"cmp"
	"os"
	"regexp"
	"strings"

	"github.com/distribution/reference"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// longestName is how long a name of Modal's may be: modal/_utils/name_utils.py of its Python client 1.6.4, as the patterns are.
const longestName = 64

var (
	namePattern        = regexp.MustCompile(`^[a-zA-Z0-9._-]+$`)
	appIDPattern       = regexp.MustCompile(`^ap-[a-zA-Z0-9]{22}$`)
	environmentPattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]*$`)
)

func isName(name string) bool {
	return len(name) <= longestName && namePattern.MatchString(name) && !appIDPattern.MatchString(name)
}

// CheckVolume refuses what cannot be the name of a volume on Modal. exit.Usage.
func CheckVolume(name string) error {
	if !isName(name) {
		return exit.Errorf(exit.Usage, "%q cannot be the name of a volume on Modal: 1 to %d letters, digits, '.', '_' and '-'", name, longestName).
			Hint("See which there are: modal volume list\nFor a directory of this machine, leave out -b modal.")
	}
	return nil
}

// CheckSecret refuses what cannot be the name of a Secret, which a flag has given. exit.Usage.
func CheckSecret(flag, name string) error {
	if !isName(name) {
		return exit.Errorf(exit.Usage, "--%s: %q cannot be the name of a Secret on Modal: 1 to %d letters, digits, '.', '_' and '-'", flag, name, longestName).
			Hint("See which there are: modal secret list")
	}
	return nil
}

// checkEnvironment refuses what cannot be the name of an environment: that of the options, or MODAL_ENVIRONMENT's. "" is
// the one that the profile names. exit.Usage.
func checkEnvironment(name string) error {
	name = cmp.Or(name, os.Getenv("MODAL_ENVIRONMENT"))
	if name != "" && (len(name) > longestName || !environmentPattern.MatchString(name) || strings.HasPrefix(strings.ToLower(name), "en-")) {
		return exit.Errorf(exit.Usage, "%q cannot be the name of an environment on Modal: 1 to %d letters, digits, '.', '_' and '-', the first one a letter or digit, and not en-", name, longestName).
			Hint("See which there are: modal environment list\nName one with --modal-env NAME or MODAL_ENVIRONMENT.")
	}
	return nil
}

// CheckImage refuses what is no reference of an image. Whether a registry has it, only the build tells. exit.Usage.
func CheckImage(image string) error {
	if _, err := reference.ParseNormalizedNamed(image); err != nil {
		return exit.Errorf(exit.Usage, "--image %q: %w", image, err).Hint("Name one as a registry does: debian:bookworm-slim, or ghcr.io/OWNER/NAME:TAG")
	}
	return nil
}

// checkRuns refuses the name of a volume that runs cannot be on, since their app could not have its name. exit.Usage.
func checkRuns(volume string) error {
	if err := CheckVolume(volume); err != nil {
		return err
	}
	if app := appOf(volume); len(app) > longestName {
		return exit.Errorf(exit.Usage, "volume %s cannot have runs: their app would be %s, and Modal's names have at most %d characters", volume, app, longestName).
			Hint("Name a volume of at most %d characters with --volume NAME.", longestName-len(appOf("")))
	}
	return nil
}
