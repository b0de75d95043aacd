package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/limit"
)

// build compiles a main package. The digest of the result must not change with a commit or with the directory's name,
// so neither is stamped into it.
func build(ctx context.Context, dir, output string, env []string) error {
	compiler, err := exec.LookPath("go")
	if err != nil {
		return exit.Errorf(exit.Usage, "cannot build %s: there is no go command on PATH", dir).
			Hint("Install Go, or name an executable that was built elsewhere.")
	}
	command := exec.CommandContext(ctx, compiler, "build", "-trimpath", "-buildvcs=false", "-buildmode=default", "-o", output, ".")
	command.Dir = dir
	command.Env = append(append(compilerEnviron(), env...), "GOTMPDIR="+filepath.Dir(output)) // where a kill leaves nothing that is not swept
	// The compiler's own processes go with it; and with us, for which the thread that starts it has to stay.
	command.SysProcAttr = attributes()
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	if err := command.Start(); err != nil {
		if limited := limit.Explain(err); limited != nil {
			return limited
		}
		return exit.Errorf(exit.Usage, "cannot build %s: %w", dir, err)
	}
	reaper, _ := watch(command.Process.Pid)
	defer reaper.release()
	err = command.Wait()
	if signal := killedBy(err); signal != 0 && ctx.Err() == nil {
		return exit.Errorf(exit.Usage, "%s was not built: the go command was killed by signal %d (%s)\n%s", dir, int(signal), signal, strings.TrimRight(said.String(), "\n")).
			Hint("If nobody has killed it, the machine may be short of memory. Make room, and repeat the command.")
	}
	if err != nil {
		text := strings.TrimRight(said.String(), "\n")
		if name := settingBehind(text); name != "" {
			return exit.Errorf(exit.Usage, "%s was not built, since the go command cannot work with its %s:\n%s", dir, name, text).
				Hint("Set %s to what it can work with, or unset it. See what it is: go env %s", name, name)
		}
		return exit.Errorf(exit.Usage, "%s does not build:\n%s", dir, text).Hint("%s", toBuild(ctx, command, text))
	}
	info, err := os.Stat(output)
	if errors.Is(err, fs.ErrNotExist) {
		return exit.Errorf(exit.Usage, "%s does not build: the go command has made nothing", dir).
			Hint("See what it is told to do: go env GOFLAGS")
	}
	if err != nil {
		return err
	}
	if info.Mode()&0o100 == 0 {
		return exit.Errorf(exit.Usage, "%s is not a main package, so it is no plugin", dir).
			Hint("Name the directory with the func main that calls sdk.Serve.")
	}
	return nil
}

// killedBy is the signal that has ended a process, by the error of waiting for it; 0 for none.
func killedBy(err error) syscall.Signal {
	if ended, ok := errors.AsType[*exec.ExitError](err); ok {
		if status, ok := ended.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return status.Signal()
		}
	}
	return 0
}

// ofTarget are variables that belong to the platform that a user builds for, and CGO_*FLAGS with them.
var ofTarget = []string{"GOOS", "GOARCH", "CC", "CXX", "FC", "AR", "PKG_CONFIG", "CGO_CFLAGS", "CGO_CPPFLAGS", "CGO_CXXFLAGS", "CGO_FFLAGS", "CGO_LDFLAGS"}

// compilerEnviron is the environment in which the go command builds for this machine, whatever platform the user's shell
// builds for. A C compiler for another one goes with it; one for this machine stays.
func compilerEnviron() []string {
	environ := os.Environ()
	if other(os.Getenv("GOOS"), runtime.GOOS) || other(os.Getenv("GOARCH"), runtime.GOARCH) {
		environ = slices.DeleteFunc(environ, func(variable string) bool {
			name, _, _ := strings.Cut(variable, "=")
			return slices.Contains(ofTarget, name)
		})
	}
	return append(environ, "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
}

func other(named, ours string) bool { return named != "" && named != ours }

// toBuild says what to do about a build that failed and printed text: what the go command lacks, if that is why.
func toBuild(ctx context.Context, build *exec.Cmd, text string) string {
	if strings.Contains(text, "no space left on device") {
		return "Make room where the go command writes: its GOCACHE, which `go env GOCACHE` says, and the outputs."
	}
	var none []string
	for name, dir := range goDirectories(ctx, build) {
		switch {
		case dir == "" || dir == "off":
			none = append(none, name)
		case strings.Contains(text, dir) && writable(dir) != nil:
			return "The go command cannot write " + dir + ": set HOME, or " + name + ", to a directory that can be written."
		}
	}
	if len(none) > 0 {
		slices.Sort(none)
		return "The go command has nowhere to keep what it needs: set HOME, or " + strings.Join(none, " and ") + ", to a directory that can be written."
	}
	return "A plugin is a directory with a Go main package, for which `go build` succeeds, or an executable made from one."
}

// goDirectories are those that a build writes, by the variables that name them; none where the go command does not say.
func goDirectories(ctx context.Context, build *exec.Cmd) (directories map[string]string) {
	query := exec.CommandContext(ctx, build.Path, "env", "-json", "GOCACHE", "GOMODCACHE")
	query.Dir, query.Env = build.Dir, build.Env
	if answer, err := query.Output(); err == nil {
		_ = json.Unmarshal(answer, &directories) // else it stays empty
	}
	return directories
}

// writable says why a directory, which need not exist, cannot be written.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, "")
	if err != nil {
		return err
	}
	return errors.Join(file.Close(), os.Remove(file.Name()))
}
