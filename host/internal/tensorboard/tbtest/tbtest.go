// Package tbtest runs the real TensorBoard for tests, and asks it what it shows.
package tbtest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
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
	Step     int64
	Value    float32
	WallTime float64 // seconds since 1970; of one that is wanted, 0 for any
}

// is takes one NaN for another: JSON has no payload of it.
func (p Point) is(want Point) bool {
	bothNaN := p.Value != p.Value && want.Value != want.Value
	return p.Step == want.Step && (bothNaN || math.Float32bits(p.Value) == math.Float32bits(want.Value)) &&
		(want.WallTime == 0 || p.WallTime == want.WallTime)
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
// repository and on PATH; where it, or a data server for this platform, is missing, the test fails in CI and is skipped
// elsewhere.
func Start(t testing.TB, logdir string, loader Loader) *Server {
	t.Helper()
	cmd := exec.Command(Find(t), append(Flags(loader), "--logdir", logdir)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir()) // it leaves files behind when it is killed
	return StartCommand(t, cmd, loader)
}

// Flags have TensorBoard listen on a port of 127.0.0.1 that is free, show all points, and see new ones soon.
func Flags(loader Loader) []string {
	return []string{"--host", "127.0.0.1", "--port", "0", "--" + string(loader), "--reload_interval", "1", "--samples_per_plugin", "scalars=100000000"}
}

// StartCommand is Start with a command that comes to TensorBoard with Flags.
func StartCommand(t testing.TB, cmd *exec.Cmd, loader Loader) *Server {
	t.Helper()
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
	started, failed := make(chan string, 1), make(chan string, 1)
	go func() {
		if url, said := readURL(stderr); url != "" {
			started <- url
		} else {
			failed <- said
		}
		_, _ = io.Copy(io.Discard, stderr)
	}()
	select {
	case url := <-started:
		return &Server{t: t, loader: loader, url: url}
	case said := <-failed:
		if strings.Contains(said, "data server not supported") { // there is none for arm64
			missing(t, said)
		}
		t.Fatalf("TensorBoard (%s) did not start:\n%s", loader, said)
	case <-time.After(patience):
		t.Fatalf("TensorBoard (%s) did not start within %s", loader, patience)
	}
	return nil
}

// readURL reads what TensorBoard says until it names its address; if it ends before that, url is empty.
func readURL(stderr io.Reader) (url, said string) {
	address := regexp.MustCompile(`http://127\.0\.0\.1:\d+`)
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		if url := address.FindString(lines.Text()); url != "" {
			return url, said
		}
		said += lines.Text() + "\n"
	}
	return "", said
}

// patience bounds what a test waits for. TensorBoard reloads every second; but its Python loader takes minutes for the
// million points of `make soak`.
var patience = func() time.Duration {
	if os.Getenv("MTT_SOAK") != "" {
		return time.Hour
	}
	return 2 * time.Minute
}()

// Find returns TensorBoard's path.
func Find(t testing.TB) string {
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
	missing(t, "TensorBoard is missing: run `make .venv/installed`")
	return ""
}

// missing ends a test that lacks something: as failed in CI, where all must be there, and as skipped elsewhere.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// All returns what TensorBoard shows of some runs now, those without a point left out.
func (s *Server) All(runs ...string) (map[string]Curves, error) {
	var known map[string]map[string]any
	if err := s.ask("/data/plugin/scalars/tags", nil, &known); err != nil {
		return nil, err
	}
	having := map[string][]string{} // runs, by tags
	for _, run := range runs {
		for tag := range known[run] {
			having[tag] = append(having[tag], run)
		}
	}
	shown := map[string]Curves{}
	for tag, runs := range having {
		var points map[string][][3]json.RawMessage // wall time, step, value
		if err := s.ask("/data/plugin/scalars/scalars_multirun", url.Values{"tag": {tag}, "runs": runs}, &points); err != nil {
			return nil, err
		}
		for run, encoded := range points {
			for _, p := range encoded {
				point, err := decode(p)
				if err != nil {
					return nil, err
				}
				if shown[run] == nil {
					shown[run] = Curves{}
				}
				shown[run][tag] = append(shown[run][tag], point)
			}
		}
	}
	return shown, nil
}

func decode(point [3]json.RawMessage) (p Point, err error) {
	if p.WallTime, err = strconv.ParseFloat(string(point[0]), 64); err != nil {
		return p, err
	}
	if p.Step, err = strconv.ParseInt(string(point[1]), 10, 64); err != nil {
		return p, err
	}
	value, err := strconv.ParseFloat(strings.Trim(string(point[2]), `"`), 32) // "NaN", "-Infinity"
	p.Value = float32(value)
	return p, err
}

// ask posts a form, or gets without one.
func (s *Server) ask(path string, form url.Values, into any) error {
	request, err := http.NewRequest(http.MethodGet, s.url+path, nil)
	if form != nil {
		request, err = http.NewRequest(http.MethodPost, s.url+path, strings.NewReader(form.Encode()))
	}
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	client := http.Client{Timeout: patience}
	response, err := client.Do(request)
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
	s.WaitAll(map[string]Curves{run: want})
}

// WaitAll is Wait for several runs; one may be wanted to have no curve.
func (s *Server) WaitAll(want map[string]Curves) {
	s.t.Helper()
	var differences string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		asked := time.Now()
		got, err := s.All(slices.Collect(maps.Keys(want))...)
		differences = ""
		for run := range want {
			if difference := Difference(got[run], want[run]); difference != "" || err != nil {
				differences += fmt.Sprintf("\nrun %s (last error: %v):%s", run, err, difference)
			}
		}
		if differences == "" {
			return
		}
		time.Sleep(max(200*time.Millisecond, time.Since(asked))) // an answer takes time that the loader lacks
	}
	s.t.Errorf("TensorBoard (%s) does not show the curves:%s", s.loader, differences)
}

// Loader is the one that it was started with.
func (s *Server) Loader() Loader { return s.loader }

// Difference says in words how got is not want; nothing if they are the same, bit for bit.
func Difference(got, want Curves) (lines string) {
	for _, tag := range slices.Sorted(maps.Keys(want)) {
		i := 0
		for i < min(len(got[tag]), len(want[tag])) && got[tag][i].is(want[tag][i]) {
			i++
		}
		if i < max(len(got[tag]), len(want[tag])) {
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
