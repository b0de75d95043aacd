package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// transfers compares the copying of files with that of Modal's command line.
func (m *modalBench) transfers() error {
	const size, many = 512 << 20, 2000
	for _, c := range []struct {
		what  string
		files func(dir string) error
	}{
		{"one file of 512 MiB", func(dir string) error { return random(filepath.Join(dir, "file"), size) }},
		{"2,000 files of 2 to 20 KiB", func(dir string) error {
			for i := range many {
				if err := random(filepath.Join(dir, fmt.Sprint(i)), int64(2<<10+i%19<<10)); err != nil {
					return err
				}
			}
			return nil
		}},
	} {
		scratch, err := os.MkdirTemp(inMemory(4*size, m.scratch), "bench")
		if err != nil {
			return err
		}
		dir := filepath.Join(scratch, "dir")
		err = os.Mkdir(dir, 0o755)
		if err == nil {
			err = c.files(dir)
		}
		if err == nil {
			err = m.transfer(c.what, scratch, dir)
		}
		if err = errors.Join(err, os.RemoveAll(scratch)); err != nil {
			return err
		}
	}
	return nil
}

// inMemory is a directory whose files are in memory, if there is one with so much room: what is compared is programs, and
// a disk's file system has a mind of its own. ext4 takes up to a millisecond to make a file where many have just been removed.
func inMemory(room int64, otherwise string) string {
	const shm = "/dev/shm"
	var fs syscall.Statfs_t
	if err := syscall.Statfs(shm, &fs); err != nil || int64(fs.Bavail)*int64(fs.Bsize) < room {
		return otherwise
	}
	return shm
}

// transfer compares how a directory is put and got.
func (m *modalBench) transfer(what, scratch, dir string) error {
	state := filepath.Join(scratch, "modal")
	put := func(program string) (took float64, err error) {
		_, err = m.output(m.cli, "volume", "create", "transfers", "--version", "2")
		if err == nil {
			took, err = m.timed(program, "volume", "put", "transfers", dir, "/dir")
		}
		return took, err
	}
	// Blocks that any volume has do not travel, so each put finds an empty stand-in.
	putAnew := func(program string) func() (float64, error) {
		return func() (took float64, err error) {
			err = m.with(state, func() error {
				took, err = put(program)
				return err
			})
			return took, errors.Join(err, os.RemoveAll(state))
		}
	}
	get := func(program string) func() (float64, error) {
		return func() (float64, error) {
			to, err := os.MkdirTemp(scratch, "fetched")
			if err != nil {
				return 0, err
			}
			took, err := m.timed(program, "volume", "get", "transfers", "/dir", to)
			if err == nil {
				err = same(dir, filepath.Join(to, "dir"))
			}
			return took, errors.Join(err, os.RemoveAll(to))
		}
	}
	ours := m.binary("mtt-host")
	if err := m.compare("volume put of "+what, putAnew(ours), putAnew(m.cli)); err != nil {
		return err
	}
	return m.with(state, func() error {
		if _, err := put(ours); err != nil {
			return err
		}
		return m.compare("volume get of "+what, get(ours), get(m.cli))
	})
}

// compare runs two programs in turn, of which ours is to be three times as fast.
func (m *modalBench) compare(what string, ours, theirs func() (float64, error)) error {
	// Once unmeasured: a virtual machine is slow to find memory that it never used, and what one turn frees the next one takes.
	for _, program := range []func() (float64, error){ours, theirs} {
		if _, err := program(); err != nil {
			return err
		}
	}
	measured, err := m.inTurn(m.pairs, "s for "+what, ours, theirs)
	if err != nil {
		return err
	}
	ratio := each(measured[1], measured[0], quotient)
	m.add(row{
		what: what, ours: fmt.Sprintf("%.2f s", median(measured[0])), theirs: fmt.Sprintf("%.2f s, Modal's command line", median(measured[1])),
		figure: spread(ratio, "%.1f") + " times as fast",
		wanted: "at least 3", reached: median(ratio) >= 3,
	})
	return nil
}

func random(path string, size int64) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.CopyN(file, rand.Reader, size)
	return errors.Join(err, file.Close())
}

// same is an error unless the files of a directory are in another one too.
func same(want, got string) error {
	return filepath.WalkDir(want, func(path string, found fs.DirEntry, err error) error {
		if err != nil || found.IsDir() {
			return err
		}
		copied := filepath.Join(got, found.Name())
		a, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(copied)
		if err == nil && !bytes.Equal(a, b) {
			err = fmt.Errorf("%s is not what was put", copied)
		}
		return err
	})
}
