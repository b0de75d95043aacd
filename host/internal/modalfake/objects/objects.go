// Package objects keeps the records of one kind, such as apps, in memory and in one JSON file each, so that a fake that
// was ended or killed goes on with them. A file is replaced by renaming, so that a kill leaves the old or the new one.
// Nothing is fsynced: what this must survive is a kill, not a power cut.
package objects

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Kind is all records of one kind. It is not safe for concurrent use: its owner locks.
type Kind[T any] struct {
	dir     string
	records map[string]*T
}

// Open reads the records below dir.
func Open[T any](dir string) (*Kind[T], error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	k := &Kind[T]{dir: dir, records: make(map[string]*T)}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		record := new(T)
		if err := json.Unmarshal(raw, record); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		k.records[strings.TrimSuffix(filepath.Base(path), ".json")] = record
	}
	return k, nil
}

// Get returns the record of that id; nil if there is none.
func (k *Kind[T]) Get(id string) *T { return k.records[id] }

// Put stores a record, or what was changed in it.
func (k *Kind[T]) Put(id string, record *T) error {
	raw, err := json.Marshal(record)
	if err != nil {
		return err
	}
	path := filepath.Join(k.dir, id+".json")
	if err := os.WriteFile(path+".part", raw, 0o600); err != nil { // 0600: some hold secrets
		return err
	}
	if err := os.Rename(path+".part", path); err != nil {
		return err
	}
	k.records[id] = record
	return nil
}

// Delete forgets a record.
func (k *Kind[T]) Delete(id string) error {
	delete(k.records, id)
	return os.Remove(filepath.Join(k.dir, id+".json"))
}

// Find returns the first record, by id, that fits; nil if none does.
func (k *Kind[T]) Find(fits func(*T) bool) *T {
	for _, record := range k.All() {
		if fits(record) {
			return record
		}
	}
	return nil
}

// All returns the records by id.
func (k *Kind[T]) All() []*T {
	all := make([]*T, 0, len(k.records))
	for _, id := range slices.Sorted(maps.Keys(k.records)) {
		all = append(all, k.records[id])
	}
	return all
}
