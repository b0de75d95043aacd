package modal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/backendtest"
	"github.com/mtt-project/mtt/host/internal/backend/modal"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/modalfake/faketest"
)

func TestMain(m *testing.M) { faketest.Main(m) }

// lab is a fake with volumes.
type lab struct {
	*testing.T
	*faketest.Fake
	client *faketest.Client
	made   atomic.Int64
}

func newLab(t *testing.T, args ...string) *lab {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	fake := faketest.Start(t, args...)
	return &lab{T: t, Fake: fake, client: fake.Client(t)}
}

// create makes a volume, and returns its name.
func (l *lab) create(version pb.VolumeFsVersion) string {
	l.Helper()
	name := fmt.Sprintf("vol-%d", l.made.Add(1))
	_, err := l.client.Raw.VolumeGetOrCreate(l.Context(), pb.VolumeGetOrCreateRequest_builder{
		DeploymentName: name, Version: version, ObjectCreationType: pb.ObjectCreationType_OBJECT_CREATION_TYPE_CREATE_IF_MISSING,
	}.Build())
	if err != nil {
		l.Fatal(err)
	}
	return name
}

func (l *lab) open(t *testing.T, name string) *modal.Volume {
	t.Helper()
	volume, err := modal.OpenVolume(t.Context(), modal.Options{Volume: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { volume.Close() })
	return volume
}

const (
	v1 = pb.VolumeFsVersion_VOLUME_FS_VERSION_V1
	v2 = pb.VolumeFsVersion_VOLUME_FS_VERSION_V2
)

func TestVolume(t *testing.T) {
	l := newLab(t)
	backendtest.RunVolume(t, func(t *testing.T) backend.Volume { return l.open(t, l.create(v2)) })
}

// The whole contract holds where calls fail, also after they were carried out, and where streams break.
func TestVolumeWhereCallsFail(t *testing.T) {
	l := newLab(t, "--seed", "5")
	volumes := make([]string, 40)
	for i := range volumes {
		volumes[i] = l.create(v2)
	}
	l.Tell(t, "set", "error-rate=0.1", "drop-streams=0.1")
	backendtest.RunVolume(t, func(t *testing.T) backend.Volume {
		// For each test anew, and fewer than a block is tried: one block may meet them all.
		l.Tell(t, "set", "expire-blocks=5")
		name := volumes[0]
		volumes = volumes[1:]
		return l.open(t, name)
	})
}

func TestAnAuthTokenThatIsTakenAwayIsRenewed(t *testing.T) {
	l := newLab(t)
	v := l.open(t, l.create(v2))
	for range 2 {
		l.Tell(t, "rotate", "auth-tokens")
		if err := v.Put(t.Context(), []backend.Source{backendtest.Source("f", []byte("x"))}, backend.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	l.Tell(t, "rotate", "credentials")
	err := v.Remove(t.Context(), "f", true)
	if exit.Of(err) != exit.Credentials {
		t.Errorf("with credentials that were taken away: %v, want exit code 4", err)
	}
	if secret := l.Variable(t, "MODAL_TOKEN_SECRET"); strings.Contains(fmt.Sprint(err), secret) {
		t.Error("the error tells the secret")
	}
}

func TestACallThatModalNoLongerHas(t *testing.T) {
	l := newLab(t)
	v := l.open(t, l.create(v2))
	if err := v.Put(t.Context(), []backend.Source{backendtest.Source("f", []byte("x"))}, backend.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	l.Tell(t, "set", "error-rate=1", "error-code=UNIMPLEMENTED")
	_, err := v.List(t.Context(), "", true)
	if err == nil {
		err = v.Remove(t.Context(), "f", true)
	}
	if exit.Of(err) != exit.Unavailable || !strings.Contains(err.Error(), "newer version") && !strings.Contains(err.Error(), "VolumeRemoveFile2") {
		t.Errorf("%v, want exit code 69 and the name of the call", err)
	}
}

// No volume of version 2 has a size: what Modal does not take now it may take later.
func TestAPutThatModalDoesNotTakeNowIsNoFullVolume(t *testing.T) {
	l := newLab(t, "--set", "volume-limit=10")
	v, err := modal.OpenVolume(t.Context(), modal.Options{Volume: l.create(v2), Patience: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	err = v.Put(t.Context(), []backend.Source{backendtest.Source("f", make([]byte, 11))}, backend.PutOptions{})
	if errors.Is(err, backend.ErrFull) || exit.Of(err) != exit.Unavailable || !strings.Contains(err.Error(), "it holds 10 bytes") {
		t.Errorf("%v, want exit code 69 and Modal's words", err)
	}
}

func TestVersion1IsReadAndRemovedFromAndNotWritten(t *testing.T) {
	l := newLab(t)
	name := l.create(v1)
	body := backendtest.Samples()["holes"][:5<<20]
	if _, err := l.client.Raw.MountPutFile(t.Context(), pb.MountPutFileRequest_builder{Sha256Hex: sum(body), Data: body}.Build()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.client.Raw.VolumePutFiles(t.Context(), pb.VolumePutFilesRequest_builder{VolumeId: l.id(name), Files: []*pb.MountFile{
		pb.MountFile_builder{Filename: "/d/f", Sha256Hex: sum(body)}.Build(),
	}}.Build()); err != nil {
		t.Fatal(err)
	}
	v := l.open(t, name)
	entries, err := v.List(t.Context(), "", true)
	if err != nil || len(entries) != 2 || entries[1].Path != "d/f" {
		t.Fatalf("it lists %v, %v", entries, err)
	}
	var got bytes.Buffer
	if err := v.Read(t.Context(), entries[1], 0, entries[1].Size, &got); err != nil || !bytes.Equal(got.Bytes(), body) {
		t.Errorf("%d bytes, %v; want %d", got.Len(), err, len(body))
	}
	err = v.Put(t.Context(), []backend.Source{backendtest.Source("g", nil)}, backend.PutOptions{})
	if exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "version 1") {
		t.Errorf("a put: %v, want exit code 2 and the version", err)
	}
	if err := v.Remove(t.Context(), "d", true); err != nil {
		t.Error(err)
	}
	if _, err := v.Stat(t.Context(), "d/f"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was removed: %v", err)
	}
}
