package worker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/mtt-project/mtt/host/internal/exactness"
	"github.com/mtt-project/mtt/host/internal/regular"
)

// digestData says what is in a directory with data, as the experiment sees it, through links. With contents, every byte is
// read. The outputs, which change by themselves, are passed over if they are in it.
func digestData(ctx context.Context, dir, outputs string, contents bool) (exactness.Data, error) {
	d := dataDigest{ctx: ctx, files: sha256.New()}
	if info, err := os.Stat(outputs); err == nil {
		d.passed = append(d.passed, info)
	}
	if contents {
		d.contents = sha256.New()
	}
	if err := d.add(dir, ""); err != nil {
		return exactness.Data{}, err
	}
	data := exactness.Data{Files: hex.EncodeToString(d.files.Sum(nil))}
	if contents {
		data.Contents = hex.EncodeToString(d.contents.Sum(nil))
	}
	return data, nil
}

type dataDigest struct {
	ctx             context.Context
	files, contents hash.Hash // contents is nil where nobody asks for them
	// passed are directories that are passed over: those that the path is in already, for links up, and the outputs.
	passed []os.FileInfo
}

// add adds what is at a path, which has this name below the data's directory.
func (d dataDigest) add(path, name string) error {
	if err := d.ctx.Err(); err != nil {
		return err
	}
	info, err := os.Stat(path)
	switch {
	case isUnreadable(err):
		if to, err := os.Readlink(path); err == nil {
			name += "\x00" + to
		}
		d.line("%s\x00unreadable\n", name)
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return d.addDirectory(path, name, info)
	case !info.Mode().IsRegular():
		d.line("%s\x00%s\n", name, info.Mode().Type())
		return nil
	}
	fmt.Fprintf(d.files, "%s\x00%d\x00%d\n", name, info.Size(), info.ModTime().UnixNano())
	if d.contents == nil {
		return nil
	}
	sum, err := d.content(path)
	if err != nil && !isUnreadable(err) {
		return err
	}
	fmt.Fprintf(d.contents, "%s\x00%d\x00%x\n", name, info.Size(), sum)
	return nil
}

func (d dataDigest) addDirectory(path, name string, info os.FileInfo) error {
	d.line("%s/\n", name)
	if slices.ContainsFunc(d.passed, func(passed os.FileInfo) bool { return os.SameFile(passed, info) }) {
		return nil
	}
	entries, err := os.ReadDir(path) // sorted
	if err != nil && !isUnreadable(err) {
		return err
	}
	d.passed = append(d.passed[:len(d.passed):len(d.passed)], info)
	for _, entry := range entries {
		if err := d.add(filepath.Join(path, entry.Name()), name+"/"+entry.Name()); err != nil {
			return err
		}
	}
	return nil
}

// isUnreadable holds for what the experiment cannot read either, such as a link to nothing, to itself or through a file.
func isUnreadable(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENOTDIR)
}

// line adds the same to both digests.
func (d dataDigest) line(format string, args ...any) {
	fmt.Fprintf(d.files, format, args...)
	if d.contents != nil {
		fmt.Fprintf(d.contents, format, args...)
	}
}

func (d dataDigest) content(path string) ([]byte, error) {
	file, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, cancellable{d.ctx, file})
	return sum.Sum(nil), err
}

// cancellable ends the reading of a file, which may be large, when its context does.
type cancellable struct {
	ctx context.Context
	io.Reader
}

func (c cancellable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.Reader.Read(p)
}
