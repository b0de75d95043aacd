package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// changeRoot makes a root directory in which the mounts are at their paths, and all else is as it is here. It runs in a
// mount namespace of its own.
func changeRoot(root string, mounts []Mount) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("modal-fake", root, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount a root directory: %w", err)
	}
	if err := fill(root, "/", mounts); err != nil {
		return err
	}
	old := filepath.Join(root, ".old")
	if err := os.Mkdir(old, 0o700); err != nil {
		return err
	}
	if err := unix.PivotRoot(root, old); err != nil {
		return fmt.Errorf("change the root directory: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := unix.Unmount("/.old", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the old root directory: %w", err)
	}
	return os.Remove("/.old")
}

// fill makes dir look like the directory at path, which need not exist, with the mounts that are below it.
func fill(dir, path string, mounts []Mount) error {
	names := make(map[string]bool)
	entries, err := os.ReadDir(path)
	if err != nil && !os.IsNotExist(err) && !os.IsPermission(err) {
		return err
	}
	for _, entry := range entries {
		names[entry.Name()] = true
	}
	below := make(map[string][]Mount)
	for _, m := range mounts {
		rest := strings.TrimPrefix(strings.TrimPrefix(m.Path, path), "/")
		name, _, _ := strings.Cut(rest, "/")
		below[name] = append(below[name], m)
		names[name] = true
	}
	for name := range names {
		to, from := filepath.Join(dir, name), filepath.Join(path, name)
		switch inside := below[name]; {
		case len(inside) == 0:
			err = show(to, from, false)
		case len(inside) == 1 && inside[0].Path == from:
			err = show(to, inside[0].Source, inside[0].ReadOnly)
		default:
			if err = os.Mkdir(to, 0o755); err == nil {
				err = fill(to, from, inside)
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
	}
	return nil
}

// show makes what is at from appear at to.
func show(to, from string, readOnly bool) error {
	info, err := os.Lstat(from)
	if err != nil {
		return nil // gone, or not ours to see
	}
	switch {
	case info.Mode()&os.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	case info.IsDir():
		err = os.Mkdir(to, 0o755)
	default:
		err = os.WriteFile(to, nil, 0o644)
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if readOnly {
		return unix.Mount("", to, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}
	return nil
}
