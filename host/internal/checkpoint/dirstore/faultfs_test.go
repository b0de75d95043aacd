package dirstore_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/mtt-project/mtt/host/internal/checkpoint/dirstore"
)

// faultyFS is the real file system, except that one call fails. It keeps a log of the calls.
type faultyFS struct {
	dirstore.OS
	failAt  int // The number of the call, from 1; 0 for none.
	forever bool
	errno   syscall.Errno

	calls []string
	// failed is the file or directory of the first failed call.
	failed string
}

// call counts and returns what the call must fail with.
func (f *faultyFS) call(op, name string) error {
	f.calls = append(f.calls, fmt.Sprintf("%s %s", op, filepath.Base(name)))
	n := len(f.calls)
	if f.failAt == 0 || n < f.failAt || n > f.failAt && !f.forever {
		return nil
	}
	if n == f.failAt {
		f.failed = name
	}
	return &os.PathError{Op: op, Path: name, Err: f.errno}
}

func (f *faultyFS) Mkdir(name string) error {
	if err := f.call("mkdir", name); err != nil {
		return err
	}
	return f.OS.Mkdir(name)
}

func (f *faultyFS) Create(name string) (dirstore.File, error) {
	if err := f.call("create", name); err != nil {
		return nil, err
	}
	file, err := f.OS.Create(name)
	return &faultyFile{File: file, fs: f, name: name}, err
}

func (f *faultyFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := f.call("readdir", name); err != nil {
		return nil, err
	}
	return f.OS.ReadDir(name)
}

func (f *faultyFS) Rename(from, to string) error {
	if err := f.call("rename", to); err != nil {
		return err
	}
	return f.OS.Rename(from, to)
}

func (f *faultyFS) Remove(name string) error {
	if err := f.call("remove", name); err != nil {
		return err
	}
	return f.OS.Remove(name)
}

func (f *faultyFS) RemoveAll(name string) error {
	if err := f.call("removeall", name); err != nil {
		return err
	}
	return f.OS.RemoveAll(name)
}

func (f *faultyFS) SyncDir(name string) error {
	if err := f.call("syncdir", name); err != nil {
		return err
	}
	return f.OS.SyncDir(name)
}

func (f *faultyFS) Free(name string) (uint64, error) {
	if err := f.call("free", name); err != nil {
		return 0, err
	}
	return f.OS.Free(name)
}

type faultyFile struct {
	dirstore.File
	fs   *faultyFS
	name string
}

// Write that fails has written half, as on a disk that becomes full.
func (f *faultyFile) Write(p []byte) (int, error) {
	if err := f.fs.call("write", f.name); err != nil {
		n, _ := f.File.Write(p[:len(p)/2])
		return n, err
	}
	return f.File.Write(p)
}

func (f *faultyFile) Sync() error {
	if err := f.fs.call("sync", f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *faultyFile) Close() error {
	err := f.fs.call("close", f.name)
	if closeErr := f.File.Close(); err == nil {
		err = closeErr
	}
	return err
}
