package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/mtt-project/mtt/proto/wire"
)

var update = flag.Bool("update", false, "rewrite testdata/manifest-v2.json")

// goldenManifest is in the version that is written now, and goldenManifest1 as hosts wrote it that knew only version 1.
const (
	goldenManifest  = "testdata/manifest-v2.json"
	goldenManifest1 = "testdata/manifest-v1.json"
)

func sampleManifest() *Manifest {
	config := json.RawMessage(`{"a":{"b":[1,2],"c":"<&>` + "\u2028" + `"},"big":9007199254740993,"rate":1e-3}`)
	id := ID{Prefix: "digits-mlp", Step: 1200, ULID: ulid.MustParseStrict("01KAR5S5W0ABCDEFGHJKMNPQRS")}
	return NewManifest(id,
		Header{
			Identity: Identity{
				RunID: "quiet-fox", Experiment: "digits", Prefix: "digits-mlp",
				Config: config, ConfigSHA256: fmt.Sprintf("%x", sha256.Sum256(config)),
				Seed: math.MaxUint64, PluginSHA256: strings.Repeat("ab", 32),
			},
			Step: 1200, Attempt: 2, Parent: "digits-mlp-000000001100-01KAR5S5VZABCDEFGHJKMNPQRS", Reason: Final,
			Result: Metrics{"accuracy": 0.95, "loss": math.Inf(1)},
		},
		History{Metrics: Metrics{"train/loss": 0.1}, Events: Events{
			Place: Place{Attempt: 2, File: "events.out.tfevents.1", Bytes: 4096, CRC32C: math.MaxUint32}, LastSteps: map[string]int64{"train/loss": math.MaxInt64 - 1},
		}},
		[]Blob{{Name: "b", Size: 2, XXH3: strings.Repeat("0f", 16)}, {Name: "a", Size: 1, XXH3: strings.Repeat("f0", 16)}},
		time.Date(2026, 11, 23, 16, 0, 0, 123456789, time.UTC))
}

func TestManifestIsWrittenAndReadAsItWas(t *testing.T) {
	raw, err := sampleManifest().Encode()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(goldenManifest, raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(goldenManifest)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(raw, golden) {
		t.Errorf("encoded\n%s\nand not\n%s", raw, golden)
	}
	m, err := DecodeManifest(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(m, sampleManifest()) {
		t.Errorf("decoded %+v", m)
	}
}

func TestManifestsOfVersion1StayReadable(t *testing.T) {
	golden, err := os.ReadFile(goldenManifest1)
	if err != nil {
		t.Fatal(err)
	}
	m, err := DecodeManifest(golden)
	if err != nil {
		t.Fatal(err)
	}
	want := sampleManifest()
	want.Version, want.Events = 1, Events{Place: Place{File: "events.out.tfevents.1", Bytes: 4096}}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("decoded %+v", m)
	}
	if raw, err := m.Encode(); err != nil || !bytes.Equal(raw, golden) {
		t.Errorf("encoded\n%s\n%v, and not\n%s", raw, err, golden)
	}
}

func TestStateHashIsThatOfTheSortedLines(t *testing.T) {
	lines := "a\x001\x00" + strings.Repeat("f0", 16) + "\nb\x002\x00" + strings.Repeat("0f", 16) + "\n"
	if want := fmt.Sprintf("%x", sha256.Sum256([]byte(lines))); sampleManifest().StateHash != want {
		t.Errorf("state_hash %s, want %s", sampleManifest().StateHash, want)
	}
}

// The vectors are those of the reference implementation, xxhsum -H2.
func TestBlobHashIsXXH3Of128Bits(t *testing.T) {
	for content, want := range map[string]Blob{
		"":  {Size: 0, XXH3: "99aa06d3014798d86001c324468d497f"},
		"a": {Size: 1, XXH3: "a96faf705af16834e6c632b61e964e1f"},
	} {
		var sum Sum
		sum.Write([]byte(content))
		if have := sum.Blob(""); have != want {
			t.Errorf("%q: %+v, want %+v", content, have, want)
		}
	}
}

func TestEveryFlippedBitOfAManifestIsFound(t *testing.T) {
	raw, err := sampleManifest().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for bit := range 8 {
			raw[i] ^= 1 << bit
			if _, err := DecodeManifest(raw); err == nil {
				t.Fatalf("byte %d, bit %d: not found", i, bit)
			}
			raw[i] ^= 1 << bit
		}
	}
}

func TestUnknownFieldsAreIgnoredAndNewerVersionsRefused(t *testing.T) {
	raw, err := sampleManifest().Encode()
	if err != nil {
		t.Fatal(err)
	}
	edit := func(old, new string) []byte {
		body, _, _ := bytes.Cut(raw, []byte(`"checksum"`))
		return seal(bytes.Replace(body, []byte(old), []byte(new), 1))
	}

	m, err := DecodeManifest(edit(`"id"`, `"pinned": {"by": "someone"}, "id"`))
	if err != nil || !reflect.DeepEqual(m, sampleManifest()) {
		t.Errorf("an unknown field: %v", err)
	}
	_, err = DecodeManifest(edit(`"version": 2,`, `"version": 3, "step": "many",`))
	if newer, ok := errors.AsType[*VersionError](err); !ok || newer.Have != 3 {
		t.Errorf("version 3: %v", err)
	}
	for old, new := range map[string]string{
		`"version": 2`:     `"version": 0`,
		`"bytes": 4096`:    `"bytes": 4096, "attempt": 3`, // which is later than the checkpoint's
		`"file": "events`:  `"file": "", "was": "`,
		`"step": 1200`:     `"step": 1201`,
		`"prefix": "`:      `"prefix": "x`,
		`"attempt": 2`:     `"attempt": 0`,
		`"size": 1`:        `"size": 3`,
		`"size": 2`:        `"size": -2`,
		`"name": "a"`:      `"name": "c"`,
		`"name": "b"`:      `"name": "../b"`,
		`"rate": 1e-3`:     `"rate": 1e-4`,
		`"accuracy": 0.95`: `"accuracy": "high"`,
		`"loss": "Inf`:     `"loss": "inf`,
	} {
		if m, err := DecodeManifest(edit(old, new)); err == nil {
			t.Errorf("%s instead of %s was believed: %+v", new, old, m)
		}
	}
}

func TestManifestThatCouldNotBeReadBackIsNotWritten(t *testing.T) {
	huge := sampleManifest()
	huge.Metrics = Metrics{strings.Repeat("x", MaxManifestSize): 1}
	if _, err := huge.Encode(); !errors.As(err, new(*SizeError)) {
		t.Errorf("one that is too large: %v", err)
	}
	unsorted := sampleManifest()
	unsorted.Blobs[0], unsorted.Blobs[1] = unsorted.Blobs[1], unsorted.Blobs[0]
	if _, err := unsorted.Encode(); err == nil || errors.As(err, new(*SizeError)) {
		t.Errorf("one whose blobs are not sorted: %v", err)
	}
}

// The limits are those of the wire: a save that keeps to them does not fail for its manifest.
func TestLargestManifestIsWritten(t *testing.T) {
	m := sampleManifest()
	m.Metrics, m.Events.LastSteps = Metrics{}, map[string]int64{}
	for i := range wire.MaxTags {
		tag := fmt.Sprintf("%05d", i)
		tag += strings.Repeat(`"`, wire.MaxTagBytes-len(tag)) // of which JSON makes two
		m.Metrics[tag], m.Events.LastSteps[tag] = -math.MaxFloat32, math.MaxInt64-1
	}
	var blobs []Blob
	for i := range wire.MaxBlobs {
		blobs = append(blobs, Blob{Name: fmt.Sprintf("%0128d", i), Size: math.MaxUint64, XXH3: strings.Repeat("0f", 16)})
	}
	id, err := ParseID(m.ID)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := NewManifest(id, m.Header, m.History, blobs, m.Created).Encode()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", len(raw))
}

// FuzzDecodeManifest gives the input a right checksum as well, or the fuzzer would never get past it.
func FuzzDecodeManifest(f *testing.F) {
	raw, err := sampleManifest().Encode()
	if err != nil {
		f.Fatal(err)
	}
	body, _, _ := bytes.Cut(raw, []byte(`"checksum"`))
	f.Add(raw)
	f.Add(body)
	f.Fuzz(func(t *testing.T, input []byte) {
		for _, raw := range [][]byte{input, seal(bytes.Clone(input))} {
			m, err := DecodeManifest(raw)
			if err != nil {
				continue
			}
			again, err := m.Encode()
			if err != nil {
				t.Fatalf("read, and cannot be written: %v", err)
			}
			if m2, err := DecodeManifest(again); err != nil || fmt.Sprint(m2) != fmt.Sprint(m) {
				t.Fatalf("first read %+v\nthen      %+v, %v", m, m2, err)
			}
		}
	})
}
