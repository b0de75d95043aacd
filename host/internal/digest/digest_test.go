package digest

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestChangedFileHasAnotherDigest changes a file in ways that keep its name, its size and its modification time.
func TestChangedFileHasAnotherDigest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	at := time.Now().Add(-time.Hour)
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	check := func(content string) {
		t.Helper()
		for range 2 {
			if got, err := File(path); err != nil || got != fmt.Sprintf("%x", sha256.Sum256([]byte(content))) {
				t.Errorf("the digest of %q is %s: %v", content, got, err)
			}
		}
	}
	write("one")
	check("one")
	write("two") // within the tick
	check("two")
	time.Sleep(settled + 50*time.Millisecond)
	check("two") // which is remembered now
	write("six")
	check("six")
}
