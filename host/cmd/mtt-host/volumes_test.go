package main_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// formerHosts are the commits whose volumes are kept in testdata/volumes, with a README that says what is on them.
var formerHosts = []string{"3bd0e1d"}

// launched has the plugin of those volumes train as walk does.
func launched() string { return "WALK=" + pluginPath("walk") }

func TestRunsOfFormerHostsGoOn(t *testing.T) {
	for _, commit := range formerHosts {
		t.Run(commit, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.unpack(filepath.Join("testdata", "volumes", commit, "local.tar.gz"), b.outputs)
			b.former(map[string]string{"finished": "SUCCEEDED", "alone": "SUCCEEDED", "killed": "INTERRUPTED", "stopped": "STOPPED", "failed": "FAILED"})
			alone := b.ends("alone")
			for _, run := range []string{"killed", "stopped"} {
				b.expect(65, []string{unrecorded, "CPU features", "variables", "data"}, "resume", run, "--env-var", launched(), "--exact")
				b.expect(0, []string{"resumed from checkpoint", unrecorded, "exactness is not claimed"}, "resume", run, "--env-var", launched())
				b.sameEnd(run, alone)
				b.unrecorded(run)
				b.claimsNoMore(run)
			}
			b.expect(3, []string{"walkers is 0"}, "resume", "failed", "--env-var", launched())
			b.expect(0, []string{"has finished already; nothing was trained"}, "run", b.launcher(), "--env-var", launched(), "--name", "finished", "-S", "walkers=64", "-S", "steps=200")
		})
	}
}

func TestRunsOfFormerHostsOnModalGoOn(t *testing.T) {
	for _, commit := range formerHosts {
		t.Run(commit, func(t *testing.T) {
			t.Parallel()
			m := newModalBench(t)
			dir := filepath.Join(filepath.Dir(m.tmp), "former")
			m.unpack(filepath.Join("testdata", "volumes", commit, "modal.tar.gz"), dir)
			m.adopt(dir)
			for _, top := range []string{"runs", "checkpoints", "bin"} {
				m.expect(0, nil, "volume", "put", "outputs", filepath.Join(dir, top), "/")
			}
			m.former(map[string]string{"finished": "SUCCEEDED", "killed": "INTERRUPTED", "stopped": "STOPPED"})

			here := *m.bench
			here.env = nil
			here.expect(0, nil, "run", pluginPath("walk"), "--name", "alone", "-S", "walkers=64", "-S", "steps=2000", "-S", "pause_us=0")
			alone := here.ends("alone")
			for _, run := range []string{"killed", "stopped"} {
				m.expect(0, []string{"resumed from checkpoint"}, "resume", run, "--env-var", launched())
				m.fetch(run)
				m.sameEnd(run, alone)
				m.unrecorded(run)
				m.claimsNoMore(run)
			}
		})
	}
}

// former wants the runs of a volume to be in these states, and all that a reading command says of them to be right.
func (b *bench) former(states map[string]string) {
	b.Helper()
	found := map[string]string{}
	for _, run := range decode[struct{ Items []runInfo }](b, b.expect(0, nil, "ls", "-o", "json").stdout).Items {
		found[run.RunID] = run.State
	}
	if !maps.Equal(found, states) {
		b.Errorf("ls says %v, want %v", found, states)
	}
	for run, state := range states {
		if got := b.show(run).State; got != state {
			b.Errorf("show says that run %s is %s, want %s", run, got, state)
		}
		if n := b.verify(run); n == 0 && state != "FAILED" {
			b.Errorf("run %s has no checkpoint", run)
		}
		if b.expect(0, nil, "logs", run).stdout == "" {
			b.Errorf("run %s has no log", run)
		}
	}
}

// ends is the outcome of a run for which nothing need be claimed.
func (b *bench) ends(run string) outcome {
	b.Helper()
	return outcome{b.checkpoints(run)[0].StateHash, b.show(run).Result, b.curves(run)}
}

func (b *bench) sameEnd(run string, alone outcome) {
	b.Helper()
	if state := b.show(run).State; state != "SUCCEEDED" {
		b.Errorf("run %s is %s", run, state)
	}
	b.equal(b.ends(run), alone)
}

// unrecorded is why a run that another host began is not exact.
const unrecorded = "unrecorded by an older mtt-host: "

func (b *bench) claimsNoMore(run string) {
	b.Helper()
	if info := b.show(run); info.Exact || !strings.Contains(info.ExactReason, unrecorded) {
		b.Errorf("run %s: exact is %v, because %q", run, info.Exact, info.ExactReason)
	}
}

// unrecorded wants a run not to be called exact where the former host did not record what that depends on.
func (b *bench) unrecorded(run string) {
	b.Helper()
	if info := b.show(run); info.Exact || !strings.Contains(info.ExactReason, "unrecorded by an older mtt-host") {
		b.Errorf("exact of run %s is %v, because %q", run, info.Exact, info.ExactReason)
	}
}

// launcher is the executable of the runs.
func (b *bench) launcher() string {
	b.Helper()
	found, _ := filepath.Glob(b.path("bin", "2bdbf403*"))
	if len(found) != 1 {
		b.Fatalf("there are %d executables", len(found))
	}
	return found[0]
}

var volumeID = regexp.MustCompile(`"volume_id": "[^"]*"`)

// adopt makes the volume outputs, and has the runs in dir be on it.
func (m *modalBench) adopt(dir string) {
	m.Helper()
	ctx, client := m.raw()
	made, err := client.VolumeGetOrCreate(ctx, pb.VolumeGetOrCreateRequest_builder{
		DeploymentName: "outputs", EnvironmentName: "main", Version: pb.VolumeFsVersion_VOLUME_FS_VERSION_V2,
		ObjectCreationType: pb.ObjectCreationType_OBJECT_CREATION_TYPE_CREATE_IF_MISSING,
	}.Build())
	if err != nil {
		m.Fatal(err)
	}
	specs, _ := filepath.Glob(filepath.Join(dir, "runs", "*", "run.json"))
	for _, spec := range specs {
		raw, err := os.ReadFile(spec)
		if err == nil {
			err = os.WriteFile(spec, volumeID.ReplaceAll(raw, []byte(`"volume_id": "`+made.GetVolumeId()+`"`)), 0o644)
		}
		if err != nil {
			m.Fatal(err)
		}
	}
}

// unpack unpacks a .tar.gz of files and directories.
func (b *bench) unpack(archive, to string) {
	b.Helper()
	if err := unpack(archive, to); err != nil {
		b.Fatal(err)
	}
}

func unpack(archive, to string) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	zipped, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	files := tar.NewReader(zipped)
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		path := filepath.Join(to, filepath.FromSlash(header.Name))
		if header.FileInfo().IsDir() {
			if err := os.MkdirAll(path, 0o755); err != nil {
				return err
			}
			continue
		}
		content, err := io.ReadAll(files)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, content, header.FileInfo().Mode().Perm()); err != nil {
			return err
		}
	}
}
