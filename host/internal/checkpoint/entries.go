package checkpoint

import (
	"context"
	"errors"
	"iter"
)

// Entry is a checkpoint that was listed and looked at.
type Entry struct {
	ID   string
	Step uint64
	// Manifest is nil if it could not be read; Err says why. It stands for the manifest only: the blobs have not been
	// read.
	Manifest *Manifest
	Err      error
}

// Entries returns the checkpoints that have a manifest, newest first. Each manifest is read when the loop comes to it, and
// again in another loop.
func Entries(ctx context.Context, s Store) (iter.Seq[Entry], error) {
	ids, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	return entries(ids, func(id string) Entry { return read(ctx, s, id) }), nil
}

func entries(ids []string, read func(id string) Entry) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for _, id := range ids {
			e := read(id)
			if _, absent := errors.AsType[*NotFoundError](e.Err); !absent && !yield(e) {
				return
			}
		}
	}
}

func read(ctx context.Context, s Store, id string) Entry {
	m, err := s.Manifest(ctx, id)
	e := Entry{ID: id, Manifest: m, Err: err}
	if parsed, err := ParseID(id); err == nil {
		e.Step = parsed.Step
	}
	return e
}

// Heads are the entries of a store with no more in each manifest than lineage and retention ask for. A manifest never
// changes, so each is read once. The zero value is ready to use.
type Heads struct{ known map[string]Entry }

// Entries is the function Entries, but for what it leaves out.
func (h *Heads) Entries(ctx context.Context, s Store) (iter.Seq[Entry], error) {
	ids, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	before := h.known
	h.known = make(map[string]Entry, len(ids)) // without those that are gone
	return entries(ids, func(id string) Entry {
		e, ok := before[id]
		if !ok {
			e = read(ctx, s, id)
		}
		if e.Manifest != nil {
			e.Manifest = &Manifest{ID: id, Header: Header{Step: e.Manifest.Step, Attempt: e.Manifest.Attempt, Reason: e.Manifest.Reason}}
			h.known[id] = e
		}
		return e
	}), nil
}
