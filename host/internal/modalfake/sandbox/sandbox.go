// Package sandbox runs a program as a process of this machine that takes itself to be alone in a container: directories
// appear where volumes are mounted, and the owner hears of it when one of them is synced.
//
// It needs no privileges. On Linux the process gets a user and a mount namespace where the system allows them, and so
// sees its mounts at their paths. Elsewhere, the paths of the mounts are replaced in its arguments, its environment and
// its working directory, by those of the directories behind them. Syncs are seen through a seccomp filter that asks the
// owner about each fsync and statfs; where there is none, they are not seen.
package sandbox

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// Mount makes the directory or file Source appear at Path.
type Mount struct {
	Path     string `json:"path"`
	Source   string `json:"source"`
	ReadOnly bool   `json:"read_only,omitempty"`
}

// Stream is where a program writes to.
type Stream int

const (
	Stdout Stream = 1
	Stderr Stream = 2
)

// Spec is what to run.
type Spec struct {
	ID      string // marks the processes, in their environment
	Dir     string // of its own; what is needed besides is made below it
	Args    []string
	Env     []string
	Workdir string
	Mounts  []Mount

	// Output gets what the program prints, as text, from one goroutine for each stream.
	Output func(Stream, string)
	// Synced is called when the program syncs the directory at a mount's Path, which waits for it. Its error is that of
	// the sync.
	Synced func(Mount) error
	// Free says how many bytes statfs(2) has as free on a mount, and in all; not ok for what this machine has.
	Free func(Mount) (bytes uint64, ok bool)
	// DiskFull has each sync of a file on a mount fail, as on a machine whose disk is full.
	DiskFull bool
}

// The variables by which processes are found when they must end: those of one Sandbox, and those of all.
const (
	marker      = "MODAL_SANDBOX_ID"
	ownerMarker = "MODAL_FAKE_OWNER"
)

// Check says what is wrong with mounts.
func Check(mounts []Mount) error {
	for i, m := range mounts {
		if !path.IsAbs(m.Path) || path.Clean(m.Path) != m.Path || m.Path == "/" {
			return fmt.Errorf("mount path %q is no clean absolute path", m.Path)
		}
		for _, other := range mounts[:i] {
			if m.Path == other.Path || strings.HasPrefix(m.Path, other.Path+"/") || strings.HasPrefix(other.Path, m.Path+"/") {
				return fmt.Errorf("mount paths %q and %q are in each other's way", other.Path, m.Path)
			}
		}
	}
	return nil
}

// Mode is how a program sees its mounts.
type Mode string

const (
	Namespaces Mode = "namespaces" // at their paths
	Rewriting  Mode = "rewriting"  // where they are; the paths are replaced
)

// Starter starts programs.
type Starter struct {
	helper   string
	mode     Mode
	syncs    bool
	mark     string // of all processes that it starts
	guardian *exec.Cmd
	owner    io.Closer // when it is closed, the guardian acts
}

// ready says that this executable calls Helper.
var ready bool

// Self returns this executable, to be the helper. One that does not call Helper would run itself again and again.
func Self() (string, error) {
	if !ready {
		return "", errors.New("this executable cannot start Sandboxes: its main does not call sandbox.Helper")
	}
	return os.Executable()
}

// NewStarter finds out what this machine allows. The helper is an executable that calls Helper first. The mode is "" for
// the best there is. What is in hold stays open, also when this process is killed, until the last program has ended.
func NewStarter(helper string, mode Mode, scratch string, hold ...*os.File) (*Starter, error) {
	s := &Starter{helper: helper, mark: rand.Text()}
	if err := s.guard(hold...); err != nil {
		return nil, err
	}
	return s, s.probe(filepath.Join(scratch, "probe"), mode)
}

// Mode is how programs will see their mounts.
func (s *Starter) Mode() Mode { return s.mode }

// SeesSyncs says whether Spec.Synced will be called.
func (s *Starter) SeesSyncs() bool { return s.syncs }
