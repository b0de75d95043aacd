package run

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/proto/wire"
)

// Mount gives the run data by --mount flags, DIR:NAME each, on Modal VOLUME:NAME, in the place of what it had under these names. A directory
// may have a ':' in its name.
func (o *Options) Mount(flags []string) error {
	given := map[string]string{}
	for _, flag := range flags {
		colon := strings.LastIndexByte(flag, ':')
		if colon < 1 {
			return exit.Errorf(exit.Usage, "--mount %s: want DIR:NAME, a directory and the name by which the experiment asks for it", flag)
		}
		dir, name := flag[:colon], flag[colon+1:]
		if !wire.ValidName(name) {
			return exit.Errorf(exit.Usage, "--mount %s: %q cannot be the name of data: want a lower-case name such as digits", flag, name)
		}
		if other, twice := given[name]; twice {
			return exit.Errorf(exit.Usage, "--mount %s: the name %s was given to %s already", flag, name, other)
		}
		if o.Modal != nil {
			given[name] = dir // the name of a volume
			continue
		}
		path, err := filepath.Abs(dir)
		if err == nil {
			err = checkData(path)
		}
		if err != nil {
			return exit.Errorf(exit.Usage, "--mount %s: %w", flag, err)
		}
		given[name] = path
	}
	mounts := map[string]string{} // another map: that of the options may be shared with a spec that is to stay as it is
	maps.Copy(mounts, o.Mounts)
	maps.Copy(mounts, given)
	o.Mounts = mounts
	return nil
}

// CheckData says whether the directories are there that hold the data of a run.
func CheckData(id string, mounts map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(mounts)) {
		if err := checkData(mounts[name]); err != nil {
			return exit.Errorf(exit.Usage, "run %s cannot go on without its data %s: %w", id, name, err).
				Hint("If it has moved, say where it is: mtt-host resume %s --mount DIR:%s", id, name)
		}
	}
	return nil
}

func checkData(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		err = &os.PathError{Op: "read", Path: path, Err: syscall.ENOTDIR}
	}
	if err != nil {
		return fmt.Errorf("there is no directory: %w", err)
	}
	return nil
}
