// Package modalfake is an offline stand-in for Modal's control plane, for tests: it serves the calls that mtt's Modal
// backend and Modal's own command line make, keeps their state in a directory, and runs Sandboxes as processes of this
// machine. It is worse than Modal on purpose: what Modal does not promise, it does not do. The README lists what it
// takes for granted about Modal.
package modalfake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/mtt-project/mtt/host/internal/modalfake/content"
	"github.com/mtt-project/mtt/host/internal/modalfake/faults"
	"github.com/mtt-project/mtt/host/internal/modalfake/objects"
	"github.com/mtt-project/mtt/host/internal/modalfake/sandbox"
)

// Config is how a fake starts.
type Config struct {
	State   string // a directory, which is made; a later fake goes on with what is in it
	Listen  string // address of the control plane: a loopback address
	EnvFile string // where to write what a client needs; "" for nowhere
	// Helper is an executable whose main calls sandbox.Helper, as which the process of a Sandbox begins; "" for the
	// calling one.
	Helper string
	Mounts sandbox.Mode // "" for the best there is
	Dice   *faults.Dice
	Log    *slog.Logger
}

// Server is a running fake.
type Server struct {
	cfg     Config
	dice    *faults.Dice
	calls   *counter
	log     *slog.Logger
	lock    *os.File // the state's
	content *content.Store
	starter *sandbox.Starter

	// mu guards the records and what is in them.
	mu        sync.Mutex
	auth      *auth
	apps      *objects.Kind[app]
	secrets   *objects.Kind[secret]
	images    *objects.Kind[image]
	mounts    *objects.Kind[mount]
	volumes   *objects.Kind[volumeRecord]
	sandboxes *objects.Kind[sandboxRecord]
	running   map[string]*running // by the Sandbox's id
	logs      map[string]*appLog  // by the app's id

	rpc      *grpc.Server
	web      *http.Server
	rpcAddr  string
	webAddr  string
	stop     context.CancelFunc // ends what runs beside the calls
	stopping context.Context
	tasks    sync.WaitGroup
}

// Start starts a fake, which serves until it is closed.
func Start(cfg Config) (_ *Server, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Dice == nil {
		cfg.Dice = faults.New(0)
	}
	if cfg.Helper == "" {
		if cfg.Helper, err = sandbox.Self(); err != nil {
			return nil, err
		}
	}
	if cfg.State, err = filepath.Abs(cfg.State); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, dice: cfg.Dice, calls: newCounter(), log: cfg.Log, running: make(map[string]*running), logs: make(map[string]*appLog)}
	s.stopping, s.stop = context.WithCancel(context.Background())
	if err := s.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("modal-fake: state %s: %w", cfg.State, err), s.Close())
	}
	if err := s.listen(); err != nil {
		return nil, errors.Join(fmt.Errorf("modal-fake: %w", err), s.Close())
	}
	return s, nil
}

// open reads the state.
func (s *Server) open() (err error) {
	dir := func(name string) string { return filepath.Join(s.cfg.State, name) }
	if s.lock, err = lockState(s.cfg.State); err != nil {
		return err
	}
	if s.starter, err = sandbox.NewStarter(s.cfg.Helper, s.cfg.Mounts, s.cfg.State, s.lock); err != nil {
		return err
	}
	s.log.Info("Sandboxes", "mounts", s.starter.Mode(), "syncs are seen", s.starter.SeesSyncs())
	if s.content, err = content.Open(dir("content")); err != nil {
		return err
	}
	if s.auth, err = openAuth(dir("auth.json")); err != nil {
		return err
	}
	if s.apps, err = objects.Open[app](dir("apps")); err != nil {
		return err
	}
	if s.secrets, err = objects.Open[secret](dir("secrets")); err != nil {
		return err
	}
	if s.images, err = objects.Open[image](dir("images")); err != nil {
		return err
	}
	if s.mounts, err = objects.Open[mount](dir("mounts")); err != nil {
		return err
	}
	if s.volumes, err = objects.Open[volumeRecord](dir("volumes")); err != nil {
		return err
	}
	if s.sandboxes, err = objects.Open[sandboxRecord](dir("sandboxes")); err != nil {
		return err
	}
	return s.endLostSandboxes()
}

// listen opens two ports: gRPC and HTTP/1.1 cannot share one without a mode of grpc-go that leaves half of it out.
func (s *Server) listen() error {
	host, _, err := net.SplitHostPort(s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen address %q: %w", s.cfg.Listen, err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("listen address %q: it gives whoever reaches it a shell, so it must be a loopback address such as 127.0.0.1:0", s.cfg.Listen)
	}
	calls, err := net.Listen("tcp", s.cfg.Listen)
	if err != nil {
		return err
	}
	web, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		calls.Close()
		return err
	}
	s.rpcAddr, s.webAddr = calls.Addr().String(), web.Addr().String()
	s.rpc = newRPC(s)
	s.web = &http.Server{Handler: s.webHandler(), ReadHeaderTimeout: time.Minute}
	s.tasks.Go(func() { _ = s.rpc.Serve(calls) })
	s.tasks.Go(func() { _ = s.web.Serve(web) })
	s.tasks.Go(s.preemptAtRandom)
	if err := s.writeControl(); err != nil {
		return err
	}
	return s.writeEnvFile()
}

// URL is what MODAL_SERVER_URL must be.
func (s *Server) URL() string { return "http://" + s.rpcAddr }

// Close ends all Sandboxes, as a machine does that goes away, and the server.
func (s *Server) Close() error {
	s.stop()
	s.killAll()
	if s.rpc != nil {
		s.rpc.Stop()
		s.web.Close()
	}
	s.tasks.Wait()
	var errs []error
	if s.starter != nil {
		errs = append(errs, s.starter.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.removeControl(), s.lock.Close())
	}
	return errors.Join(errs...)
}
