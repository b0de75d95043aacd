package worker

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mtt-project/mtt/host/internal/exactness"
)

func TestDataIsDigestedAsTheExperimentSeesIt(t *testing.T) {
	dir := t.TempDir()
	write := func(path, content string) {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Unix(1, 2), time.Unix(1, 2)); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, path string) {
		if err := os.Symlink(to, filepath.Join(dir, path)); err != nil {
			t.Fatal(err)
		}
	}
	of := func(path string, contents bool) exactness.Data {
		data, err := digestData(t.Context(), filepath.Join(dir, path), filepath.Join(dir, "outputs"), contents)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	write("plain/sub/file", "abc")
	write("blobs/1", "abc")
	if err := os.MkdirAll(filepath.Join(dir, "linked/sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	link("../../blobs/1", "linked/sub/file")
	if of("plain", true) != of("linked", true) {
		t.Error("a file and a link to the same are taken for different data")
	}
	if data := of("plain", false); data.Contents != "" || data.Files != of("plain", true).Files {
		t.Errorf("without contents, the digest is %+v", data)
	}
	before := of("linked", true)
	write("blobs/1", "abd") // of the same size and time
	if after := of("linked", true); after.Files != before.Files || after.Contents == before.Contents {
		t.Error("what a link leads to is not looked at")
	}
	link("..", "plain/sub/up") // without end
	link("nowhere", "plain/broken")
	if of("plain", true).Contents == before.Contents {
		t.Error("new names in the data are not looked at")
	}
	all := of(".", true)
	write("outputs/runs/r/log", "x") // the run's own, below the data
	if after := of(".", true); after.Contents == all.Contents {
		t.Error("that there are outputs now is not looked at")
	}
	all = of(".", true)
	write("outputs/runs/r/log2", "x")
	if of(".", true) != all {
		t.Error("the run's own outputs are taken for data")
	}
	link(dir, "alias")
	if of("alias/blobs", true) != of("blobs", true) {
		t.Error("data behind a link is not looked at")
	}
}
