package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// volume checks what keeping a checkpoint needs of the file system: room, fsync, rename, links, locks.
func volume(outputs string) []Check {
	const remedy = "Name a directory on a local disk with --outputs DIR or MTT_OUTPUTS."
	dir, err := os.MkdirTemp(existing(outputs), ".mtt-doctor-")
	if err != nil {
		return []Check{{Name: "outputs", Status: Problem, Found: fmt.Sprintf("%s cannot be written: %v", outputs, err), Remedy: remedy}}
	}
	defer os.RemoveAll(dir)
	checks := []Check{space(dir, outputs)}
	for _, step := range []struct {
		name string
		try  func(string) error
	}{{"fsync", tryFsync}, {"rename and link", tryRename}, {"locks", tryLock}} {
		check := Check{Name: "outputs: " + step.name, Status: OK, Found: "works"}
		if err := step.try(dir); err != nil {
			check = Check{Name: check.Name, Status: Problem, Found: err.Error(), Remedy: remedy}
		}
		checks = append(checks, check)
	}
	return checks
}

// existing is the nearest directory above path that exists.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

// little is the free space below which a run of any size will soon fail.
const little = 1 << 30

func space(dir, outputs string) Check {
	check := Check{Name: "outputs", Status: OK}
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return Check{Name: "outputs", Status: Problem, Found: err.Error()}
	}
	free := stat.Bavail * uint64(stat.Bsize)
	check.Found = fmt.Sprintf("%s, %d GiB free", outputs, free>>30)
	if name := networkFileSystem(&stat); name != "" {
		check.Status, check.Found = Warning, check.Found+", on a network file system ("+name+")"
		check.Remedy = "A checkpoint there is as safe as the server makes it. Prefer a local disk."
	}
	if free < little {
		check.Status, check.Remedy = Warning, "Make room: a checkpoint that does not fit ends the attempt."
	}
	return check
}

func tryFsync(dir string) error {
	file, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return err
	}
	_, err = file.WriteString("x")
	err = errors.Join(err, file.Sync(), file.Close())
	parent, openErr := os.Open(dir)
	if openErr != nil {
		return errors.Join(err, openErr)
	}
	return errors.Join(err, parent.Sync(), parent.Close())
}

func tryRename(dir string) error {
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	if err := os.WriteFile(from, nil, 0o600); err != nil {
		return err
	}
	if err := os.Link(from, to); err != nil {
		return err
	}
	if err := os.Link(from, to); !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("a second link over the first one gives %v, and must be refused", err)
	}
	return os.Rename(from, to+"2")
}

func tryLock(dir string) error {
	first, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer first.Close()
	if err := unix.Flock(int(first.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("flock: %w", err)
	}
	second, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer second.Close()
	if err := unix.Flock(int(second.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("two processes can hold the same lock (flock gives %v)", err)
	}
	return nil
}
