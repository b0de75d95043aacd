package modal

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// journal keeps, on this machine, what proves that blocks were transferred to a volume, until the files that have them
// are made: Modal takes a block as there only with that. A proof that Modal does not take any more costs a transfer and
// nothing else, and so does a journal that cannot be written.
type journal struct {
	path string

	mu     sync.Mutex
	file   *os.File
	proofs map[[sha256.Size]byte][]byte
}

const (
	// journalFrom is the size of a block from which on it is worth a line: smaller ones are transferred again as fast.
	journalFrom = 1 << 20
	// journalLife is how old a journal may be. How long a proof is good is not known; a put that was killed is repeated soon.
	journalLife = 24 * time.Hour
)

func openJournal(volume string) *journal {
	j := &journal{proofs: map[[sha256.Size]byte][]byte{}}
	cache, err := os.UserCacheDir()
	if err != nil || filepath.Base(volume) != volume {
		return j
	}
	j.path = filepath.Join(cache, "mtt", "puts", volume)
	info, err := os.Stat(j.path)
	if err != nil {
		return j
	}
	if time.Since(info.ModTime()) > journalLife {
		j.remove()
		return j
	}
	file, err := os.Open(j.path)
	if err != nil {
		return j
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		sum, proof, _ := strings.Cut(lines.Text(), " ")
		rawSum, err1 := hex.DecodeString(sum)
		rawProof, err2 := base64.StdEncoding.DecodeString(proof)
		if err1 == nil && err2 == nil && len(rawSum) == sha256.Size && len(rawProof) > 0 { // the last line may be torn
			j.proofs[[sha256.Size]byte(rawSum)] = rawProof
		}
	}
	return j
}

func (j *journal) proof(sum [sha256.Size]byte) []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.proofs[sum]
}

// add writes a line for a block that was transferred.
func (j *journal) add(sum [sha256.Size]byte, proof []byte, size int64) {
	if size < journalFrom || j.path == "" || len(proof) == 0 {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		if os.MkdirAll(filepath.Dir(j.path), 0o700) != nil {
			return
		}
		file, err := os.OpenFile(j.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return
		}
		j.file = file
	}
	fmt.Fprintf(j.file, "%x %s\n", sum, base64.StdEncoding.EncodeToString(proof))
}

func (j *journal) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file != nil {
		j.file.Close()
	}
}

// remove forgets what is not needed any more.
func (j *journal) remove() {
	if j.path != "" {
		os.Remove(j.path)
	}
}
