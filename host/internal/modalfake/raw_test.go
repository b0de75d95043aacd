package modalfake_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/mtt-project/mtt/host/internal/modalfake/faketest"
	"github.com/mtt-project/mtt/host/internal/modalfake/volume"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// rawVolume is a volume by the calls themselves, written from the protocol and not from the fake.
type rawVolume struct {
	t  *testing.T
	c  pb.ModalClientClient
	id string
}

func makeVolume(t *testing.T, c *faketest.Client, name string, version pb.VolumeFsVersion) *rawVolume {
	t.Helper()
	v, err := c.Raw.VolumeGetOrCreate(t.Context(), pb.VolumeGetOrCreateRequest_builder{
		DeploymentName: name, Version: version, ObjectCreationType: pb.ObjectCreationType_OBJECT_CREATION_TYPE_CREATE_IF_MISSING,
	}.Build())
	if err != nil {
		t.Fatal(err)
	}
	return &rawVolume{t, c.Raw, v.GetVolumeId()}
}

func blocksOf(content []byte) (blocks [][]byte) {
	for start := 0; start < len(content); start += volume.BlockSize {
		blocks = append(blocks, bytes.TrimRight(content[start:min(len(content), start+volume.BlockSize)], "\x00"))
	}
	return blocks
}

// put puts a file, and returns how many blocks it had to transfer.
func (v *rawVolume) put(path string, content []byte, exclusive bool) (transferred int, err error) {
	proofs := make(map[int][]byte)
	blocks := blocksOf(content)
	for range 2 {
		file := pb.VolumePutFiles2Request_File_builder{Path: path, Size: uint64(len(content)), Mode: new(uint32(0o644))}
		for i, block := range blocks {
			sum := sha(block)
			file.Blocks = append(file.Blocks, pb.VolumePutFiles2Request_Block_builder{ContentsSha256: sum, PutResponse: proofs[i]}.Build())
		}
		r, err := v.c.VolumePutFiles2(context.Background(), pb.VolumePutFiles2Request_builder{
			VolumeId: v.id, Files: []*pb.VolumePutFiles2Request_File{file.Build()}, DisallowOverwriteExistingFiles: exclusive,
		}.Build())
		if err != nil {
			return transferred, err
		}
		if len(r.GetMissingBlocks()) == 0 {
			return transferred, nil
		}
		for _, missing := range r.GetMissingBlocks() {
			i := int(missing.GetBlockIndex())
			request, err := http.NewRequest(http.MethodPut, missing.GetPutUrl(), bytes.NewReader(blocks[i]))
			if err != nil {
				return transferred, err
			}
			if proofs[i], err = do(request); err != nil {
				return transferred, err
			}
			transferred++
		}
	}
	return transferred, fmt.Errorf("blocks of %s are missing after they were transferred", path)
}

func do(request *http.Request) ([]byte, error) {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return body, err
}

// get fetches length bytes of a file from start on; 0 for the rest.
func (v *rawVolume) get(path string, start, length uint64) ([]byte, error) {
	r, err := v.c.VolumeGetFile2(context.Background(), pb.VolumeGetFile2Request_builder{VolumeId: v.id, Path: path, Start: start, Len: length}.Build())
	if err != nil {
		return nil, err
	}
	content := make([]byte, r.GetLen())
	at := uint64(0)
	for i, url := range r.GetGetUrls() {
		request, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		body, err := do(request)
		if err != nil {
			return nil, err
		}
		next := min(r.GetLen(), (r.GetStart()/volume.BlockSize+uint64(i)+1)*volume.BlockSize-r.GetStart())
		if uint64(len(body)) > next-at {
			return nil, fmt.Errorf("%s, address %d: %d bytes, want %d at most", path, i, len(body), next-at)
		}
		copy(content[at:], body)
		at = next
	}
	if at != r.GetLen() {
		return nil, fmt.Errorf("%s: the addresses are for %d bytes of %d", path, at, r.GetLen())
	}
	return content, nil
}

func (v *rawVolume) mustGet(path string) string {
	v.t.Helper()
	content, err := v.get(path, 0, 0)
	if err != nil {
		v.t.Fatal(err)
	}
	return string(content)
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s: %s", response.Status, body)
}

func sha(p []byte) []byte {
	sum := sha256.Sum256(p)
	return sum[:]
}
