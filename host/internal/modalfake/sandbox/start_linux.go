package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Start starts a program.
func (s *Starter) Start(spec Spec) (*Process, error) {
	p, noSyncs, err := s.start(spec)
	if err == nil && noSyncs != "" && s.syncs {
		p.Kill()
		return nil, fmt.Errorf("start a Sandbox: %s", noSyncs)
	}
	return p, err
}

func (s *Starter) start(spec Spec) (_ *Process, noSyncs string, err error) {
	// Each message is one packet, so that the report that the helper could not become the program is one of its own.
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, "", err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "helper"), os.NewFile(uintptr(pair[1]), "owner")
	defer ours.Close()

	o := order{Args: spec.Args, Env: append(spec.Env, s.marks(spec)...), Workdir: spec.Workdir, Mounts: spec.Mounts}
	cmd := &exec.Cmd{Path: s.helper, Args: []string{helperName}, Env: s.marks(spec)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if s.mode == Namespaces {
		o.Root = filepath.Join(spec.Dir, "root")
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
		// Without it, the helper would have no capabilities in the namespace, unless it is root's. It forgoes it before
		// it becomes the program.
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN}
	} else {
		o.Args, o.Env, o.Workdir = rewriteAll(o.Args, spec.Mounts), rewriteAll(o.Env, spec.Mounts), rewrite(o.Workdir, spec.Mounts)
	}
	raw, err := json.Marshal(o)
	if err != nil {
		theirs.Close()
		return nil, "", err
	}
	if _, err := unix.Write(pair[0], raw); err != nil { // before it starts: it is waited for below
		theirs.Close()
		return nil, "", fmt.Errorf("%d bytes of arguments and environment: %w", len(raw), err)
	}
	p, err := start(cmd, spec, theirs)
	theirs.Close()
	if err != nil {
		return nil, "", err
	}
	filter, ready, err := hear(pair[0])
	if err == nil && filter >= 0 {
		go serveCalls(filter, spec, s.mode)
	}
	if err == nil {
		// It closes the socket when it becomes the program.
		if _, failed, errFailed := hear(pair[0]); !errors.Is(errFailed, io.EOF) {
			err = errors.Join(errFailed, errors.New(failed.Error))
		}
	}
	if err != nil {
		p.Kill()
		<-p.Done()
		return nil, "", err
	}
	return p, ready.NoSyncs, nil
}

func (s *Starter) marks(spec Spec) []string {
	return []string{marker + "=" + spec.ID, ownerMarker + "=" + s.mark}
}

// hear reads a report of the helper; io.EOF if it has closed its socket.
func hear(socket int) (filter int, r report, err error) {
	raw, rights := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(4))
	var n, oobn int
	for {
		n, oobn, _, _, err = unix.Recvmsg(socket, raw, rights, unix.MSG_CMSG_CLOEXEC)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return -1, r, err
	}
	if n == 0 {
		return -1, r, io.EOF
	}
	if err := json.Unmarshal(raw[:n], &r); err != nil {
		return -1, r, err
	}
	if r.Error != "" {
		return -1, r, errors.New(r.Error)
	}
	if oobn == 0 {
		return -1, r, nil
	}
	messages, err := unix.ParseSocketControlMessage(rights[:oobn])
	if err != nil {
		return -1, r, err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, r, err
	}
	return fds[0], r, nil
}

// probe starts a program that does nothing, in the best mode first.
func (s *Starter) probe(dir string, asked Mode) error {
	modes := []Mode{Namespaces, Rewriting}
	if asked != "" {
		modes = []Mode{asked}
	}
	if err := os.MkdirAll(filepath.Join(dir, "root"), 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var errs []error
	for _, mode := range modes {
		s.mode = mode
		p, noSyncs, err := s.start(Spec{
			ID: "probe", Dir: dir, Args: []string{"true"}, Env: []string{"PATH=" + os.Getenv("PATH")}, Workdir: "/",
			Mounts: []Mount{{Path: "/modal-fake-probe", Source: dir}},
			Output: func(Stream, string) {}, Synced: func(Mount) error { return nil }, Free: func(Mount) (uint64, bool) { return 0, false },
		})
		if err == nil {
			<-p.Done()
			s.syncs = noSyncs == ""
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", mode, err))
	}
	return errors.Join(errs...)
}
