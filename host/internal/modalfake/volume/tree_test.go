package volume

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/mtt-project/mtt/host/internal/modalfake/content"
)

func TestATreeHasTheParentsOfItsFiles(t *testing.T) {
	tree := Tree{}
	if err := tree.Put("/a/b/c", Entry{Type: File}); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(tree)); !slices.Equal(got, []string{"a", "a/b", "a/b/c"}) {
		t.Errorf("the tree has %q", got)
	}
	for path, want := range map[string]error{"a/b": ErrExists, "a/b/c/d": ErrExists, "": ErrInvalid, "/": ErrInvalid, "../x": ErrInvalid, "a/../../x": ErrInvalid, "x\x00": ErrInvalid} {
		if err := tree.Put(path, Entry{Type: File}); !errors.Is(err, want) {
			t.Errorf("a file at %q: %v, want %v", path, err, want)
		}
	}
}

func TestARemovalTakesNoNeighbour(t *testing.T) {
	tree := Tree{}
	for _, path := range []string{"a/b", "ab/c", "a.txt"} {
		if err := tree.Put(path, Entry{Type: File}); err != nil {
			t.Fatal(err)
		}
	}
	if err := tree.Remove("a", false); !errors.Is(err, ErrInvalid) {
		t.Errorf("a directory is removed as if it were a file: %v", err)
	}
	if err := tree.Remove("a", true); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(tree)); !slices.Equal(got, []string{"a.txt", "ab", "ab/c"}) {
		t.Errorf("the tree has %q", got)
	}
}

func TestPiecesOfARange(t *testing.T) {
	e := Entry{Size: 2*BlockSize + 5, Blocks: []content.Sum{"a", "b", "c"}}
	for _, c := range []struct {
		start, length uint64
		want          []Piece
	}{
		{0, 0, nil},
		{0, e.Size, []Piece{{"a", 0, BlockSize}, {"b", 0, BlockSize}, {"c", 0, 5}}},
		{BlockSize - 1, 2, []Piece{{"a", BlockSize - 1, BlockSize}, {"b", 0, 1}}},
		{2 * BlockSize, 5, []Piece{{"c", 0, 5}}},
	} {
		if got := e.Pieces(c.start, c.length); !slices.Equal(got, c.want) {
			t.Errorf("%d bytes from %d: %v, want %v", c.length, c.start, got, c.want)
		}
	}
}
