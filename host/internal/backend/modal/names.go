package modal

import (
	"regexp"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// longestName is how long a name of Modal's may be: modal/_utils/name_utils.py of its Python client 1.6.4, as the patterns are.
const longestName = 64

var (
	namePattern  = regexp.MustCompile(`^[a-zA-Z0-9._-]+$`)
	appIDPattern = regexp.MustCompile(`^ap-[a-zA-Z0-9]{22}$`)
)

// CheckVolume refuses what cannot be the name of a volume on Modal. exit.Usage.
func CheckVolume(name string) error {
	if len(name) > longestName || !namePattern.MatchString(name) || appIDPattern.MatchString(name) {
		return exit.Errorf(exit.Usage, "%q cannot be the name of a volume on Modal: 1 to %d letters, digits, '.', '_' and '-'", name, longestName).
			Hint("See which there are: modal volume list\nFor a directory of this machine, leave out -b modal.")
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
