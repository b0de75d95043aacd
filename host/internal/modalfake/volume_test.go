package modalfake_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mtt-project/mtt/host/internal/modalfake/faketest"
	"github.com/mtt-project/mtt/host/internal/modalfake/volume"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

const v2 = pb.VolumeFsVersion_VOLUME_FS_VERSION_V2

// What one client puts, the other gets.
func TestTheCallsAndTheCommandLineAgree(t *testing.T) {
	f := faketest.Start(t)
	v := makeVolume(t, f.Client(t), "vol", v2)
	dir := t.TempDir()
	files := samples()
	for name, content := range files {
		if _, err := v.put("/ours/"+name, content, true); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	f.MustModal(t, "volume", "get", "vol", "/ours", dir)
	compare(t, filepath.Join(dir, "ours"), files)

	writeAll(t, filepath.Join(dir, "in"), files)
	f.MustModal(t, "volume", "put", "vol", filepath.Join(dir, "in"), "/theirs")
	for name, want := range files {
		if got := v.mustGet("theirs/" + name); got != string(want) {
			t.Errorf("%s: %d bytes, want %d; the first that differs is %d", name, len(got), len(want), differs([]byte(got), want))
		}
	}
}

func TestARangeOfAFileIsThatRange(t *testing.T) {
	v := makeVolume(t, faketest.Start(t).Client(t), "vol", v2)
	content := samples()["holes"]
	if _, err := v.put("f", content, true); err != nil {
		t.Fatal(err)
	}
	size := uint64(len(content))
	for _, r := range []struct{ start, length uint64 }{
		{0, 1}, {5, 10}, {volume.BlockSize - 1, 2}, {volume.BlockSize, volume.BlockSize}, {7, volume.BlockSize}, {volume.BlockSize + 9, 0}, {size - 1, 100}, {size, 0}, {size + 5, 1},
	} {
		got, err := v.get("f", r.start, r.length)
		from := min(r.start, size)
		to := size
		if r.length > 0 {
			to = min(size, from+r.length)
		}
		if err != nil || !bytes.Equal(got, content[from:to]) {
			t.Errorf("%d bytes from %d on: %d bytes, %v; want %d", r.length, r.start, len(got), err, to-from)
		}
	}
}

func TestOnlyMissingBlocksTravel(t *testing.T) {
	v := makeVolume(t, faketest.Start(t).Client(t), "vol", v2)
	content := samples()["three-blocks"]
	if n, err := v.put("a", content, true); n != 3 || err != nil {
		t.Fatalf("the first time, %d blocks travel, want 3; %v", n, err)
	}
	if n, err := v.put("b", append(content, 1), true); n != 1 || err != nil {
		t.Errorf("with one byte more, %d blocks travel, want 1; %v", n, err)
	}
}

func TestAnExclusivePutIsRefusedWhereAFileIs(t *testing.T) {
	v := makeVolume(t, faketest.Start(t).Client(t), "vol", v2)
	if _, err := v.put("claim.json", []byte("first"), true); err != nil {
		t.Fatal(err)
	}
	if _, err := v.put("claim.json", []byte("second"), true); status.Code(err) != codes.AlreadyExists {
		t.Errorf("the second claim: %v, want AlreadyExists", err)
	}
	if got := v.mustGet("claim.json"); got != "first" {
		t.Errorf("the claim is %q", got)
	}
}

// A download goes on over the file that it began with.
func TestAnAddressIsGoodForWhatWasThere(t *testing.T) {
	f := faketest.Start(t)
	c := f.Client(t)
	v := makeVolume(t, c, "vol", v2)
	if _, err := v.put("f", []byte("old"), true); err != nil {
		t.Fatal(err)
	}
	r, err := c.Raw.VolumeGetFile2(t.Context(), pb.VolumeGetFile2Request_builder{VolumeId: v.id, Path: "f"}.Build())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.put("f", []byte("new"), false); err != nil {
		t.Fatal(err)
	}
	if got := fetch(t, r.GetGetUrls()[0]); got != "200 OK: old" {
		t.Errorf("the address gives %q", got)
	}
}

func TestAnExpiredAddressIsRefused(t *testing.T) {
	f := faketest.Start(t, "--set", "block-url-life=0s")
	v := makeVolume(t, f.Client(t), "vol", v2)
	if _, err := v.put("f", []byte("x"), true); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("with addresses that have expired: %v, want 403", err)
	}
	f.Tell(t, "set", "block-url-life=1h", "expire-blocks=1")
	if _, err := v.put("f", []byte("x"), true); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("the address that is said to have expired: %v, want 403", err)
	}
	if _, err := v.put("f", []byte("x"), true); err != nil {
		t.Error(err)
	}
	// The Python client tries again, with the same address.
	f.Tell(t, "set", "expire-blocks=1")
	if got := f.MustModal(t, "volume", "get", "vol", "f", "-"); !strings.HasPrefix(got, "x") {
		t.Errorf("the command line prints %q", got)
	}
}

func TestAFullVolumeRefusesMore(t *testing.T) {
	f := faketest.Start(t, "--set", "volume-limit=10")
	v := makeVolume(t, f.Client(t), "vol", v2)
	if _, err := v.put("a", []byte("0123456789"), true); err != nil {
		t.Fatal(err)
	}
	if _, err := v.put("b", []byte("0"), true); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one byte too many: %v, want ResourceExhausted", err)
	}
	if _, err := v.put("a", []byte("0"), false); err != nil {
		t.Errorf("what makes room: %v", err)
	}
}

func TestAVolumeOutlivesTheFake(t *testing.T) {
	f := faketest.Start(t)
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("kept"), 0o644); err != nil {
		t.Fatal(err)
	}
	f.MustModal(t, "volume", "create", "vol", "--version", "2")
	f.MustModal(t, "volume", "put", "vol", file, "/f")
	f.Kill(t)
	f.Run(t)
	if got := f.MustModal(t, "volume", "get", "vol", "f", "-"); !strings.HasPrefix(got, "kept") {
		t.Errorf("after a kill, the file has %q", got)
	}
}

func TestVersion1IsReadAndWrittenByItsOwnCalls(t *testing.T) {
	f := faketest.Start(t)
	c := f.Client(t)
	v := makeVolume(t, c, "first", pb.VolumeFsVersion_VOLUME_FS_VERSION_V1)
	files := samples()
	dir := t.TempDir()
	writeAll(t, dir, files)
	f.MustModal(t, "volume", "put", "first", dir, "/data")
	for name, want := range files {
		r, err := c.Raw.VolumeGetFile(t.Context(), pb.VolumeGetFileRequest_builder{VolumeId: v.id, Path: "data/" + name}.Build())
		if err != nil {
			t.Fatal(err)
		}
		got := r.GetData()
		if r.HasDataBlobId() {
			blob, err := c.Raw.BlobGet(t.Context(), pb.BlobGetRequest_builder{BlobId: r.GetDataBlobId()}.Build())
			if err != nil {
				t.Fatal(err)
			}
			got = []byte(strings.TrimPrefix(fetch(t, blob.GetDownloadUrl()), "200 OK: "))
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want %d; the first that differs is %d", name, len(got), len(want), differs(got, want))
		}
	}

	content := files["holes"][:5<<20]
	sum := fmt.Sprintf("%x", sha(content))
	if _, err := c.Raw.MountPutFile(t.Context(), pb.MountPutFileRequest_builder{Sha256Hex: sum, Data: content}.Build()); err != nil {
		t.Fatal(err)
	}
	_, err := c.Raw.VolumePutFiles(t.Context(), pb.VolumePutFilesRequest_builder{VolumeId: v.id, Files: []*pb.MountFile{
		pb.MountFile_builder{Filename: "/ours/file", Sha256Hex: sum}.Build(),
	}}.Build())
	if err != nil {
		t.Fatal(err)
	}
	f.MustModal(t, "volume", "get", "first", "/ours", dir)
	compare(t, filepath.Join(dir, "ours"), map[string][]byte{"file": content})

	stream, err := c.Raw.VolumeListFiles2(t.Context(), pb.VolumeListFiles2Request_builder{VolumeId: v.id, Path: "/"}.Build())
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.FailedPrecondition {
		t.Errorf("the call for version 2: %v, want FailedPrecondition", err)
	}
}

// What a client must not count on: the zero bytes at the end of a block do not come, and a block that was transferred
// without the answer to it is not there.
func TestBlocksComeWithoutZerosAndCountWithTheirProof(t *testing.T) {
	c := faketest.Start(t, "--set", "pad-blocks=false").Client(t)
	v := makeVolume(t, c, "vol", v2)
	if _, err := v.put("f", []byte("a\x00b\x00\x00"), true); err != nil {
		t.Fatal(err)
	}
	r, err := c.Raw.VolumeGetFile2(t.Context(), pb.VolumeGetFile2Request_builder{VolumeId: v.id, Path: "f"}.Build())
	if err != nil {
		t.Fatal(err)
	}
	if got := fetch(t, r.GetGetUrls()[0]); got != "200 OK: a\x00b" || r.GetLen() != 5 {
		t.Errorf("of a file of 5 bytes, %d are announced, and %q comes", r.GetLen(), got)
	}
	r, err = c.Raw.VolumeGetFile2(t.Context(), pb.VolumeGetFile2Request_builder{VolumeId: v.id, Path: "f", Len: 2}.Build())
	if err != nil {
		t.Fatal(err)
	}
	if got := fetch(t, r.GetGetUrls()[0]); got != "200 OK: a" || r.GetLen() != 2 {
		t.Errorf("of 2 bytes, %d are announced, and %q comes", r.GetLen(), got)
	}

	file := pb.VolumePutFiles2Request_File_builder{Path: "g", Size: 3, Blocks: []*pb.VolumePutFiles2Request_Block{
		pb.VolumePutFiles2Request_Block_builder{ContentsSha256: sha([]byte("new"))}.Build(),
	}}.Build()
	request := pb.VolumePutFiles2Request_builder{VolumeId: v.id, Files: []*pb.VolumePutFiles2Request_File{file}}.Build()
	for _, transfer := range []bool{true, false} {
		answer, err := c.Raw.VolumePutFiles2(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		if len(answer.GetMissingBlocks()) != 1 {
			t.Fatalf("%d blocks are missing, want 1", len(answer.GetMissingBlocks()))
		}
		if !transfer {
			break
		}
		put, err := http.NewRequest(http.MethodPut, answer.GetMissingBlocks()[0].GetPutUrl(), strings.NewReader("other"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := do(put); err == nil {
			t.Error("a block of another content is taken")
		}
		put, err = http.NewRequest(http.MethodPut, answer.GetMissingBlocks()[0].GetPutUrl(), strings.NewReader("new"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := do(put); err != nil {
			t.Fatal(err)
		}
	}
}
