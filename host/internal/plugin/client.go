package plugin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/limit"
	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
	"github.com/mtt-project/mtt/proto/wire"
)

// Options say how a plugin is started.
type Options struct {
	Executable Executable
	Sockets    string            // private directory for unix sockets; a short path
	Temporary  string            // the plugin's TMPDIR
	Directory  string            // its working directory
	Env        map[string]string // see Environment; mtt's own variables are added
	Lock       *os.File          // descriptor that the plugin inherits; nil for none
	Timeout    time.Duration     // from the start to the handshake
	Output     func(line string) // gets each line that it prints; nil to drop them
	Sign       func()            // is called when it prints anything, a whole line or not; nil for nothing
}

// Plugin is a started plugin.
type Plugin struct {
	experimentv1.ExperimentServiceClient
	path     string // as people know it
	client   *goplugin.Client
	broker   *goplugin.GRPCBroker
	process  *process
	output   *output
	services *grpc.Server // of the host, for the plugin
	called   calls        // of services
}

// Start starts the plugin and shakes hands with it. Cancelling ctx ends it before it has; later it means nothing.
func Start(ctx context.Context, options Options) (*Plugin, error) {
	output := &output{emit: options.Output, sign: options.Sign}
	process := newProcess(options.command(), output)
	var address net.Addr // of the plugin, once it has started
	client := goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  goplugin.HandshakeConfig{MagicCookieKey: wire.CookieKey, MagicCookieValue: wire.CookieValue},
		VersionedPlugins: map[int]goplugin.PluginSet{wire.ProtocolVersion: {wire.PluginName: dispenser{}}},
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		SkipHostEnv:      true,
		StartTimeout:     options.Timeout,
		SyncStdout:       output.stream(),
		SyncStderr:       output.stream(),
		Logger:           hclog.NewNullLogger(),
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: options.Sockets},
		RunnerFunc: func(_ hclog.Logger, spec *exec.Cmd, _ string) (runner.Runner, error) {
			process.cmd.Env = append(process.cmd.Env, spec.Env...)
			return process, nil
		},
		GRPCDialOptions: []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(wire.MaxMessageBytes)), grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return process.connections.dial(ctx, address)
		})},
	})
	plugin := &Plugin{path: options.Executable.Name, client: client, process: process, output: output}
	plugin.services = grpc.NewServer(append(plugin.called.options(), grpc.MaxRecvMsgSize(wire.MaxMessageBytes), grpc.WaitForHandlers(true))...)
	defer context.AfterFunc(ctx, func() { _ = process.Kill(ctx) })()
	var err error
	if address, err = client.Start(); err != nil {
		plugin.Kill()
		return nil, plugin.startError(err, options.Timeout)
	}
	if err := plugin.dispense(); err != nil {
		err = plugin.Explain(err)
		plugin.Kill()
		if exit.Of(err) == exit.Usage {
			return nil, err
		}
		return nil, exit.Errorf(endCode(err), "%s shook hands and does not speak %s: %w", plugin.path, wire.PluginName, err)
	}
	return plugin, nil
}

// command is the process to run; go-plugin adds its own variables.
func (o Options) command() *exec.Cmd {
	own := map[string]string{"TMPDIR": o.Temporary, wire.EnvHostPID: strconv.Itoa(os.Getpid())}
	command := exec.Command(o.Executable.Path)
	command.Dir = o.Directory
	if o.Lock != nil {
		command.ExtraFiles = []*os.File{o.Lock}
		own[wire.EnvLockFD] = "3" // the first after stdin, stdout and stderr
	}
	environment := maps.Clone(o.Env)
	maps.Copy(environment, own)
	command.Env = environ(environment)
	return command
}

func (p *Plugin) dispense() error {
	protocol, err := p.client.Client()
	if err != nil {
		return err
	}
	raw, err := protocol.Dispense(wire.PluginName)
	if err != nil {
		return err
	}
	dispensed := raw.(dispensed)
	p.ExperimentServiceClient, p.broker = dispensed.ExperimentServiceClient, dispensed.broker
	return nil
}

// Serve serves host services to the plugin under the id that it returns, until the plugin is killed. It is called once.
func (p *Plugin) Serve(register func(grpc.ServiceRegistrar)) uint32 {
	id := p.broker.NextId()
	register(p.services)
	go func() {
		// An error means a broken connection, which the plugin's calls report too.
		if accepted, err := p.broker.Accept(id); err == nil {
			_ = p.services.Serve(listener{accepted, &p.process.connections})
		}
	}()
	return id
}

// PID is the plugin's process id.
func (p *Plugin) PID() int { return p.process.pid() }

// Done is closed when the process has ended.
func (p *Plugin) Done() <-chan struct{} { return p.process.done }

// leaving is how long a plugin that was told to leave may take.
const leaving = 2 * time.Second

// Close lets the plugin leave by itself, which brings its last words, and ends it if it does not in time.
func (p *Plugin) Close() {
	late := time.AfterFunc(leaving, func() { _ = p.process.end() })
	defer late.Stop()
	p.client.Kill()
	p.Kill()
}

// killed is how long a process may take to vanish after SIGKILL; only one that hangs in the kernel takes longer.
const killed = 5 * time.Second

// Kill ends the plugin and everything that it started, at once, and waits for it and for the calls of host services that
// it had made. It may be called again.
func (p *Plugin) Kill() {
	_ = p.process.end() // before go-plugin asks it to leave and waits 2 s for that
	if p.process.pid() > 0 {
		p.process.exited(killed)
		p.process.reaper.release()
	}
	p.process.connections.end() // also of one that hangs in the kernel
	p.services.Stop()
	p.client.Kill()
	p.output.end()
}

// ExitError is the end of a plugin's process that it should not have come to.
type ExitError struct {
	Code   int            // if Signal is 0
	Signal syscall.Signal // that killed it
	Tail   []string       // what it printed last; the report of the Go runtime if that ended it
}

func (e *ExitError) Error() string {
	end := fmt.Sprintf("exited with code %d", e.Code)
	if e.Signal != 0 {
		end = fmt.Sprintf("was killed by signal %d (%s)", int(e.Signal), e.Signal)
	}
	return fmt.Sprintf("the plugin %s%s", end, quoted(e.Tail))
}

// Panicked says that the Go runtime ended the process: a panic in a goroutine that nobody can recover.
func (e *ExitError) Panicked() bool {
	return e.Code == runtimeExitCode && slices.ContainsFunc(e.Tail, beginsCrash)
}

// runtimeExitCode is that of a Go program that its runtime ends.
const runtimeExitCode = 2

// settle is how long a broken connection may come before the end of the process that explains it, and that end before
// its last words have been read.
const settle = time.Second

// Explain returns why a call to the plugin failed: the end of its process if that is why, or the limit of the system that
// has ended it, with exit.Usage; and err otherwise.
func (p *Plugin) Explain(err error) error {
	if !p.process.exited(settle) {
		return err
	}
	failure := p.exitError()
	if failure.Panicked() {
		if limited := limit.ExplainOutput(failure.Tail, failure); limited != nil {
			return limited
		}
	}
	return failure
}

// Refusal is what a call was refused with, by the plugin, or by gRPC, whose one reason is the size of a message.
func Refusal(err error) string {
	if status.Code(err) == codes.ResourceExhausted {
		return fmt.Sprintf("a message is larger than %d MiB, the most that one may have", wire.MaxMessageBytes>>20)
	}
	return wire.Text(status.Convert(err).Message(), wire.MaxFailureBytes)
}

// endCode is that of a plugin which ended, for the cause err, before it trained: whoever killed it is not the plugin.
func endCode(err error) exit.Code {
	if ended, ok := errors.AsType[*ExitError](err); ok && ended.Signal != 0 {
		return exit.Interrupted
	}
	return exit.Plugin
}

func (p *Plugin) exitError() *ExitError {
	p.process.said(settle)
	failure := &ExitError{Tail: p.output.tail()}
	status, ok := p.process.cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case ok && status.Signaled():
		failure.Signal = status.Signal()
	default:
		failure.Code = p.process.cmd.ProcessState.ExitCode()
		if crash := p.output.lastCrash(); failure.Code == runtimeExitCode && crash != nil {
			failure.Tail = crash
		}
	}
	return failure
}

const askByHand = "A plugin is a program that calls sdk.Serve. Ask it what it is: run it by hand, with -describe."

// startError says why there was no handshake. Kill was called before, so the process has ended: what it printed and
// when it ended tell more than go-plugin's own error, which is the last resort.
func (p *Plugin) startError(err error, timeout time.Duration) error {
	if p.process.pid() == 0 {
		return p.notStarted(err)
	}
	failure := p.exitError()
	if err := limit.ExplainOutput(p.output.ends(), failure); err != nil {
		return err
	}
	if err := unfit(p.path, p.process.cmd.Path); err != nil && p.process.printed.firstLine() == "" {
		return err
	}
	first := p.process.printed.firstLine()
	fields := strings.Split(first, "|")
	switch {
	case len(fields) >= 4 && fields[0] == "1":
		if fields[1] != strconv.Itoa(wire.ProtocolVersion) {
			return exit.Errorf(exit.Plugin, "%s speaks version %s of the protocol, and this mtt-host speaks version %d", p.path, fields[1], wire.ProtocolVersion).
				Hint("Build the plugin with an SDK, or use an mtt-host, of the same major version.")
		}
		return exit.Errorf(exit.Plugin, "%s broke the protocol in its handshake %q: %w", p.path, first, err).Hint(askByHand)
	case first != "":
		return exit.Errorf(exit.Plugin, "%s printed %q to stdout where the handshake belongs%s", p.path, first, quoted(failure.Tail)).
			Hint("A plugin is a program that calls sdk.Serve, and prints nothing to stdout before it; stderr is free.")
	case p.process.killed.Load() && strings.Contains(err.Error(), "timeout"):
		return exit.Errorf(exit.Plugin, "%s did not answer within %s of its start%s", p.path, timeout, quoted(failure.Tail)).
			Hint("If it needs longer to start, give it more: --start-timeout 2m.")
	case p.process.killed.Load():
		return exit.Errorf(exit.Plugin, "%s is no plugin: %w%s", p.path, err, quoted(failure.Tail)).Hint(askByHand)
	default:
		return exit.Errorf(endCode(failure), "%s is no plugin, or failed before its handshake: %w", p.path, failure).Hint(askByHand)
	}
}

// notStarted says why there is no process.
func (p *Plugin) notStarted(err error) error {
	if limited := limit.Explain(err); limited != nil {
		return limited
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return exit.Errorf(exit.Usage, "%s cannot be started: %w", p.path, err).
			Hint("Programs may be forbidden where it lies (a file system mounted noexec): set TMPDIR, or --outputs, to another directory.")
	case errors.Is(err, syscall.ETXTBSY):
		return exit.Errorf(exit.Usage, "%s cannot be started: another process is writing it: %w", p.path, err).
			Hint("Repeat the command once it is written.")
	}
	if unfit := unfit(p.path, p.process.cmd.Path); unfit != nil {
		return unfit
	}
	return exit.Errorf(exit.Plugin, "%s is no plugin: it cannot be started: %w", p.path, err).Hint(askByHand)
}

func quoted(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return "; it printed:\n  " + strings.Join(lines, "\n  ")
}

// dispenser tells go-plugin how to make a client of the one plugin kind that there is.
type dispenser struct {
	goplugin.NetRPCUnsupportedPlugin
}

type dispensed struct {
	experimentv1.ExperimentServiceClient
	broker *goplugin.GRPCBroker
}

func (dispenser) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error {
	return errors.New("the host serves no plugin")
}

func (dispenser) GRPCClient(_ context.Context, broker *goplugin.GRPCBroker, connection *grpc.ClientConn) (any, error) {
	return dispensed{experimentv1.NewExperimentServiceClient(connection), broker}, nil
}
