package device

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Libraries is a digest over name and size of the shared libraries that a process with this environment finds in
// LD_LIBRARY_PATH, each in the first directory that has it; "" for none. Where the directories are says nothing, and their
// content has some gigabytes.
func Libraries(environment map[string]string) string {
	sizes := map[string]int64{}
	for _, dir := range filepathList(environment["LD_LIBRARY_PATH"]) {
		entries, _ := os.ReadDir(dir) // the linker passes over what it cannot read
		for _, entry := range entries {
			if _, found := sizes[entry.Name()]; found || !isLibrary(entry.Name()) {
				continue
			}
			if info, err := os.Stat(filepath.Join(dir, entry.Name())); err == nil && info.Mode().IsRegular() {
				sizes[entry.Name()] = info.Size()
			}
		}
	}
	if len(sizes) == 0 {
		return ""
	}
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		fmt.Fprintf(sum, "%s\x00%d\n", name, sizes[name])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// isLibrary holds for names such as libm.so and libcudnn.so.9.
func isLibrary(name string) bool {
	return strings.HasSuffix(name, ".so") || strings.Contains(name, ".so.")
}
