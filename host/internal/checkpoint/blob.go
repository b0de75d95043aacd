package checkpoint

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"github.com/zeebo/xxh3"
)

// Blob is one file of a checkpoint, as its manifest names it.
type Blob struct {
	Name string `json:"name"`
	Size uint64 `json:"size"`
	// XXH3 is the 128-bit XXH3 of the content: 32 hex digits, big-endian. It finds damage, not forgery, and is fast
	// enough to be computed on every read and write.
	XXH3 string `json:"xxh3"`
}

// Sum measures the content of a blob that is written to it. The zero value is ready to use.
type Sum struct {
	hash xxh3.Hasher
	size uint64
}

// Write never fails.
func (s *Sum) Write(p []byte) (int, error) {
	s.size += uint64(len(p))
	return s.hash.Write(p)
}

// Size is the number of bytes so far.
func (s *Sum) Size() uint64 { return s.size }

// Blob describes what was written so far.
func (s *Sum) Blob(name string) Blob {
	sum := s.hash.Sum128().Bytes()
	return Blob{Name: name, Size: s.size, XXH3: hex.EncodeToString(sum[:])}
}

var blobForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,127}$`)

// CheckBlobName says whether a blob may have this name. The names of the manifest and its temporary file are
// reserved in lower case too, since not every file system tells them apart.
func CheckBlobName(name string) error {
	if !blobForm.MatchString(name) {
		return fmt.Errorf("blob name %q does not match %s", name, blobForm)
	}
	if strings.HasPrefix(name, strings.ToLower(ManifestName)) {
		return fmt.Errorf("blob name %q is reserved for the manifest", name)
	}
	return nil
}
