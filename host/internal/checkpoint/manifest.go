package checkpoint

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ManifestName is the file that makes a directory a checkpoint.
const ManifestName = "MANIFEST.json"

// Version is the version of the manifest that this package writes, and the newest that it reads. It grows when older
// code would misread a manifest; a field that older code may ignore does not need it.
//
// Version 1 had one event file hold the whole history. Code that knows no other would take the last file for all.
const Version = 2

// Manifest describes one checkpoint. It is written once and never changed.
type Manifest struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	Header
	History
	Created time.Time `json:"created"`
	// StateHash is the same for two checkpoints with the same blobs, whenever and wherever they were made.
	StateHash string `json:"state_hash"`
	// Blobs are sorted by name.
	Blobs []Blob `json:"blobs"`
}

// NewManifest describes the checkpoint id with these blobs, in any order.
func NewManifest(id ID, h Header, history History, blobs []Blob, created time.Time) *Manifest {
	sorted := slices.SortedFunc(slices.Values(blobs), func(a, b Blob) int { return strings.Compare(a.Name, b.Name) })
	return &Manifest{
		Version:   Version,
		ID:        id.String(),
		Header:    h,
		History:   history,
		Created:   created.UTC().Truncate(time.Millisecond),
		StateHash: stateHash(sorted),
		Blobs:     sorted,
	}
}

// Size is the size of all blobs together in bytes.
func (m *Manifest) Size() uint64 {
	var total uint64
	for _, b := range m.Blobs {
		total += b.Size
	}
	return total
}

// Blob finds a blob by its name.
func (m *Manifest) Blob(name string) (Blob, bool) {
	i, found := slices.BinarySearchFunc(m.Blobs, name, func(b Blob, name string) int { return strings.Compare(b.Name, name) })
	if !found {
		return Blob{}, false
	}
	return m.Blobs[i], true
}

// stateHash is the hex sha256 of the lines `name NUL size NUL xxh3 LF` of the sorted blobs, the size in decimal.
func stateHash(sorted []Blob) string {
	h := sha256.New()
	for _, b := range sorted {
		fmt.Fprintf(h, "%s\x00%d\x00%s\n", b.Name, b.Size, b.XXH3)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// validate holds for every manifest that may be written or believed.
func (m *Manifest) validate() error {
	id, err := ParseID(m.ID)
	if err != nil {
		return err
	}
	if id.Prefix != m.Prefix || id.Step != m.Step {
		return fmt.Errorf("the id %s is not one of prefix %q and step %d", m.ID, m.Prefix, m.Step)
	}
	if err := m.Header.Validate(); err != nil {
		return err
	}
	if at := m.Events.Attempt; at < 0 || at > m.Attempt || at > 0 && m.Events.File == "" {
		return fmt.Errorf("a checkpoint of attempt %d ends in file %q of attempt %d", m.Attempt, m.Events.File, at)
	}
	for i, b := range m.Blobs {
		if err := CheckBlobName(b.Name); err != nil {
			return err
		}
		if i > 0 && m.Blobs[i-1].Name >= b.Name {
			return errors.New("the blobs are not sorted by name")
		}
	}
	if want := stateHash(m.Blobs); m.StateHash != want {
		return fmt.Errorf("state_hash is %q, but the blobs' is %s", m.StateHash, want)
	}
	return nil
}
