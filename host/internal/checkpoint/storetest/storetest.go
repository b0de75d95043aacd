// Package storetest holds every implementation of checkpoint.Store to its contract.
package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
)

// Open opens the store whose files lie in dir, which is <volume>/checkpoints/<run id> and may not exist yet. The suite
// opens the same dir again, as the next process would.
type Open func(t *testing.T, dir string, now func() time.Time) checkpoint.Store

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for name, test := range map[string]func(*testing.T, *subject){
		"AnEmptyStoreListsNothing":              testEmpty,
		"ACheckpointReadsBackAsItWasSaved":      testRoundTrip,
		"ACheckpointMayHaveNoBlobs":             testNoBlobs,
		"TheListIsNewestFirst":                  testOrder,
		"ListingOpensNoManifest":                testListingByName,
		"TwoCheckpointsMayHaveTheSameStep":      testSameStep,
		"IDsGrowAlthoughTheClockGoesBack":       testClock,
		"WithoutCommitThereIsNoCheckpoint":      testNoCommit,
		"AbortLeavesNothing":                    testAbort,
		"AbortAfterCommitIsHarmless":            testAbortAfterCommit,
		"CollectKeepsCheckpoints":               testCollect,
		"AnyFlippedByteOfTheManifestIsFound":    testFlippedManifest,
		"AManifestOfAnotherCheckpointIsCorrupt": testForeignManifest,
		"AFlippedByteOfABlobIsFound":            testFlippedBlob,
		"ABlobOfAnotherLengthIsFound":           testResizedBlob,
		"AMissingBlobIsFound":                   testMissingBlob,
		"AnExtraFileIsFound":                    testExtraFile,
		"RemoveIsIdempotent":                    testRemove,
		"WhatIsNotThereIsNotFound":              testNotFound,
		"BadBlobNamesAreRefused":                testBlobNames,
		"BlobsDoNotOverlap":                     testOverlap,
		"AHeaderThatIsIncompleteIsRefused":      testHeader,
		"SpaceIsCheckedBeforeWriting":           testSpace,
		"ACancelledContextHasNoEffect":          testCancelled,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newSubject(t, open))
		})
	}
}

// Header returns the header of a periodic checkpoint of attempt 1 of some run.
func Header(step uint64) checkpoint.Header {
	config := json.RawMessage(`{"batch_size":32,"model":{"hidden":[64,32],"name":"<mlp>"}}`)
	sum := sha256.Sum256(config)
	return checkpoint.Header{
		Identity: checkpoint.Identity{
			RunID: "quiet-fox", Experiment: "digits", Prefix: "digits-mlp",
			Config: config, ConfigSHA256: hex.EncodeToString(sum[:]),
			Seed: 1<<53 - 1, PluginSHA256: fmt.Sprintf("%x", sha256.Sum256([]byte("plugin"))),
		},
		Step: step, Attempt: 1, Reason: checkpoint.Periodic,
	}
}

// Save writes one checkpoint with these blobs.
func Save(ctx context.Context, s checkpoint.Store, h checkpoint.Header, blobs map[string][]byte) (*checkpoint.Manifest, error) {
	w, err := s.Create(ctx, h)
	if err != nil {
		return nil, err
	}
	defer w.Abort()
	for _, name := range slices.Sorted(maps.Keys(blobs)) {
		if err := writeBlob(w, name, blobs[name]); err != nil {
			return nil, err
		}
	}
	return w.Commit(ctx, checkpoint.History{})
}

func writeBlob(w checkpoint.Writer, name string, content []byte) error {
	b, err := w.Blob(name)
	if err != nil {
		return err
	}
	if _, err := io.Copy(b, bytes.NewReader(content)); err != nil {
		return err
	}
	return b.Close()
}
