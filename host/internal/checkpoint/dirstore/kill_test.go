package dirstore_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/mtt-project/mtt/host/internal/checkpoint/dirstore"
	"github.com/mtt-project/mtt/host/internal/checkpoint/storetest"
)

// saverDir makes the test binary a process that only saves, into this directory.
const saverDir = "MTT_TEST_SAVER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(saverDir); dir != "" {
		saveUntilKilled(dir)
	}
	os.Exit(m.Run())
}

// saveUntilKilled prints the id of each checkpoint when it is acknowledged.
func saveUntilKilled(dir string) {
	store := dirstore.New(dir, dirstore.Options{})
	end := time.Now().Add(time.Minute) // In case whoever should kill it is gone.
	for step := uint64(1); time.Now().Before(end); step++ {
		m, err := storetest.Save(context.Background(), store, storetest.Header(step), blobs)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(m.ID)
	}
	os.Exit(0)
}

func TestAcknowledgedCheckpointSurvivesKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "checkpoints", "run")
	var acknowledged []string
	unfinished := 0
	for range 15 {
		acknowledged = append(acknowledged, saveAndKill(t, dir)...)

		store := dirstore.New(dir, dirstore.Options{})
		removed, err := store.Collect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		unfinished += len(removed)
		listed := ids(t, dir) // Which fails if one of them is bad.
		for _, id := range acknowledged {
			if !slices.Contains(listed, id) {
				t.Errorf("%s was acknowledged and is gone", id)
			}
		}
	}
	if unfinished == 0 {
		t.Error("no kill came in the middle of a save, so nothing was tested")
	}
	t.Logf("%d acknowledged, %d unfinished", len(acknowledged), unfinished)
}

// saveAndKill runs the saver, kills it at some moment after its first save, and returns what it acknowledged.
func saveAndKill(t *testing.T, dir string) (acknowledged []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), saverDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if acknowledged == nil {
			time.AfterFunc(rand.N(50*time.Millisecond), func() { cmd.Process.Kill() })
		}
		acknowledged = append(acknowledged, lines.Text())
	}
	if err := cmd.Wait(); err == nil || acknowledged == nil {
		t.Fatalf("the saver was not killed: %v, after %d saves", err, len(acknowledged))
	}
	return acknowledged
}
