// Package tbtest runs the real TensorBoard for tests, and asks it what it shows.
package tbtest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Loader is one of TensorBoard's two ways to read event files.
type Loader string

const (
	Rust   Loader = "load_fast=true"  // the data server, the default
	Python Loader = "load_fast=false" // in the process itself
)

// Loaders are both.
var Loaders = []Loader{Rust, Python}

// Point is one point as TensorBoard shows it.
type Point struct {
	Step  int64
	Value float32
}

// Curves are the points of each tag.
type Curves map[string][]Point

// Server is a running TensorBoard.
type Server struct {
	t      testing.TB
	loader Loader
	url    string
}

// Start runs TensorBoard over logdir until the test ends. It is looked for in MTT_TENSORBOARD, in .venv of the
// repository and on PATH; where it is missing the test fails in CI and is skipped elsewhere.
func Start(t testing.TB, logdir string, loader Loader) *Server {
	t.Helper()
	cmd := exec.Command(find(t), "--logdir", logdir, "--host", "127.0.0.1", "--port", "0", "--"+string(loader),
		"--reload_interval", "1", "--samples_per_plugin", "scalars=100000000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with its data server
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	port := make(chan string, 1)
	go func() {
		pattern := regexp.MustCompile(`http://127\.0\.0\.1:(\d+)/`)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if match := pattern.FindStringSubmatch(lines.Text()); match != nil {
				port <- match[1]
				break
			}
		}
		_, _ = io.Copy(io.Discard, stderr)
	}()
	select {
	case p := <-port:
		return &Server{t: t, loader: loader, url: "http://127.0.0.1:" + p}
	case <-time.After(patience):
		t.Fatalf("TensorBoard (%s) did not start within %s", loader, patience)
		return nil
	}
}

// patience bounds what a test waits for; TensorBoard reloads every second.
const patience = 30 * time.Second

func find(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("MTT_TENSORBOARD"); path != "" {
		return path
	}
	for dir, _ := os.Getwd(); dir != "/"; dir = filepath.Dir(dir) {
		path := filepath.Join(dir, ".venv", "bin", "tensorboard")
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	if path, err := exec.LookPath("tensorboard"); err == nil {
		return path
	}
	const missing = "TensorBoard is missing: run `make .venv/installed`"
	if os.Getenv("CI") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// Curves returns what TensorBoard shows of a run now; nothing if it does not know it yet.
func (s *Server) Curves(run string) (Curves, error) {
	var tags map[string]map[string]any
	if err := s.get("/data/plugin/scalars/tags", nil, &tags); err != nil {
		return nil, err
	}
	curves := Curves{}
	for tag := range tags[run] {
		var points [][3]json.Number // wall time, step, value
		if err := s.get("/data/plugin/scalars/scalars", url.Values{"run": {run}, "tag": {tag}}, &points); err != nil {
			return nil, err
		}
		for _, p := range points {
			step, err := p[1].Int64()
			if err != nil {
				return nil, err
			}
			value, err := strconv.ParseFloat(p[2].String(), 32)
			if err != nil {
				return nil, err
			}
			curves[tag] = append(curves[tag], Point{step, float32(value)})
		}
	}
	return curves, nil
}

func (s *Server) get(path string, query url.Values, into any) error {
	response, err := http.Get(s.url + path + "?" + query.Encode())
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("TensorBoard (%s): %s: %s", s.loader, path, response.Status)
	}
	return json.NewDecoder(response.Body).Decode(into)
}

// Wait waits until TensorBoard shows exactly these curves of a run, and fails the test with the difference if it never
// does.
func (s *Server) Wait(run string, want Curves) {
	s.t.Helper()
	if len(want) == 0 {
		s.t.Fatal("there is no curve to wait for")
	}
	var (
		got Curves
		err error
	)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if got, err = s.Curves(run); err == nil && maps.EqualFunc(got, want, slices.Equal) {
			return
		}
	}
	s.t.Errorf("TensorBoard (%s) does not show the curves of run %s (last error: %v):%s", s.loader, run, err, Difference(got, want))
}

// Difference says in words how got is not want.
func Difference(got, want Curves) (lines string) {
	for _, tag := range slices.Sorted(maps.Keys(want)) {
		if !slices.Equal(got[tag], want[tag]) {
			i := 0
			for i < min(len(got[tag]), len(want[tag])) && got[tag][i] == want[tag][i] {
				i++
			}
			lines += fmt.Sprintf("\n  %s: %d points, want %d; from point %d on %v, want %v", tag, len(got[tag]), len(want[tag]), i, head(got[tag][i:]), head(want[tag][i:]))
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[tag]; !ok {
			lines += fmt.Sprintf("\n  %s: %d points, want none", tag, len(got[tag]))
		}
	}
	return lines
}

func head(points []Point) []Point { return points[:min(len(points), 5)] }
