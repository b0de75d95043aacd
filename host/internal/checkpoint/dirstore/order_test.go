package dirstore_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mtt-project/mtt/host/internal/checkpoint"
	"github.com/mtt-project/mtt/host/internal/checkpoint/dirstore"
	"github.com/mtt-project/mtt/host/internal/checkpoint/storetest"
)

// No test can pull the plug, so what holds then is held by the order of the calls.
func TestAcknowledgedMeansSyncedInThisOrder(t *testing.T) {
	volume := filepath.Join(t.TempDir(), "volume")
	if err := (dirstore.OS{}).Mkdir(volume); err != nil {
		t.Fatal(err)
	}
	f := &faultyFS{}
	store := dirstore.New(filepath.Join(volume, "checkpoints", "run"), dirstore.Options{
		FS:   f,
		Sync: func(context.Context) error { return f.call("sync", volume) },
	})
	m, err := storetest.Save(t.Context(), store, storetest.Header(1), map[string][]byte{"x": {1}})
	if err != nil {
		t.Fatal(err)
	}
	f.calls = append(f.calls, "acknowledged")
	if err := store.Remove(t.Context(), m.ID); err != nil {
		t.Fatal(err)
	}

	want := strings.Split(strings.ReplaceAll(`mkdir checkpoints
syncdir volume
mkdir run
syncdir checkpoints
free run
readdir run
mkdir ID
create x
write x
sync x
close x
create MANIFEST.json.tmp
write MANIFEST.json.tmp
sync MANIFEST.json.tmp
close MANIFEST.json.tmp
syncdir ID
rename MANIFEST.json
syncdir ID
syncdir run
sync volume
acknowledged
remove MANIFEST.json
syncdir ID
removeall ID`, "ID", m.ID), "\n")
	if !slices.Equal(f.calls, want) {
		t.Errorf("calls:\n%s\nwant:\n%s", strings.Join(f.calls, "\n"), strings.Join(want, "\n"))
	}
}

func TestIDIsLaterThanOneFromTheFuture(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "checkpoints", "run")
	future := filepath.Join(dir, "other-000000000001-7ZZZZZZZZZZZZZZZZZZZZZZZZY")
	for _, d := range []string{filepath.Dir(dir), dir, future} { // Rubbish, but its id is taken.
		if err := (dirstore.OS{}).Mkdir(d); err != nil {
			t.Fatal(err)
		}
	}
	if id := save(t, dir, 1); checkpoint.CompareIDs(id, filepath.Base(future)) <= 0 {
		t.Errorf("%s is not later", id)
	}
	if _, err := storetest.Save(t.Context(), dirstore.New(dir, dirstore.Options{}), storetest.Header(2), nil); err == nil {
		t.Error("there is no later id, and one was found")
	}
}
