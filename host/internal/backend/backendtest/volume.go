// Package backendtest holds every implementation of backend.Volume to its contract.
package backendtest

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/mtt-project/mtt/host/internal/backend"
)

// Make returns an empty volume of its own for each test, which it closes when the test ends.
type Make func(t *testing.T) backend.Volume

// RunVolume runs the suite.
func RunVolume(t *testing.T, make Make) {
	for name, test := range map[string]func(*subject){
		"AnEmptyVolumeListsNothing":               testEmpty,
		"FilesComeBackByteForByte":                testRoundTrip,
		"AnyRangeOfAFileIsThatRange":              testRanges,
		"WhatAFileHasIsToldWithoutMovingIt":       testCompare,
		"AListHasParentsBeforeWhatIsInThem":       testList,
		"AListOfAFileIsThatFile":                  testListFile,
		"APutReplacesAFileWhole":                  testReplace,
		"AnExclusivePutReplacesNothing":           testExclusive,
		"OneOfManyExclusivePutsWins":              testRace,
		"AFileAndADirectoryDoNotReplaceEachOther": testTypes,
		"TwoFilesOfOnePutHaveTwoPaths":            testTwice,
		"AFileThatHasGrownIsReadAsFarAsItWas":     testGrown,
		"AFileThatWasReplacedIsNotReadAsTheOld":   testChanged,
		"ARecordIsReadWholeAsItIsNow":             testWhole,
		"ASourceThatIsShorterThanItSaysIsRefused": testShortSource,
		"WhatIsNotThereIsNotFound":                testNotFound,
		"RemoveRemovesWhatItIsToldAndNoMore":      testRemove,
		"APathThatLeavesTheVolumeIsRefused":       testInvalid,
		"ADirectoryIsNotRead":                     testReadDirectory,
		"ACancelledContextIsHonoured":             testCancelled,
		"AnErrorOfTheReaderIsReturned":            testWriter,
		"ManyFilesMoveAtOnce":                     testMany,
	} {
		t.Run(name, func(t *testing.T) {
			test(&subject{t, make(t)})
		})
	}
}

type subject struct {
	*testing.T
	backend.Volume
}

// Block is the size at which block protocols cut files; the samples have seams there.
const Block = 8 << 20

// Samples are contents in which a block, a range or a zero byte too many or too few shows.
func Samples() map[string][]byte {
	random := make([]byte, 2*Block+4711)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(random)
	holes := slices.Clone(random)
	clear(holes[Block-3 : 2*Block+3])
	return map[string][]byte{
		"empty": {}, "line.txt": []byte("hello\n"), "zeros": make([]byte, 3000), "zeros-at-end": append([]byte("a"), make([]byte, Block)...),
		"one-block": random[:Block], "one-byte-more": random[:Block+1], "three-blocks": random, "holes": holes,
		"deep/down/here": []byte("\x00\xff\x00"), "name with ünï": []byte("x"), "-": []byte("dash"), ".hidden": []byte("."), "a\nb": []byte("line"),
	}
}

// content is what a Source opens.
type content struct{ *bytes.Reader }

func (content) Close() error { return nil }

// Source is a file in memory.
func Source(path string, body []byte) backend.Source {
	return backend.Source{Path: path, Size: int64(len(body)), Mode: 0o644, Open: func() (backend.Content, error) {
		return content{bytes.NewReader(body)}, nil
	}}
}

func (s *subject) put(path, body string) {
	s.Helper()
	if err := s.Put(s.Context(), []backend.Source{Source(path, []byte(body))}, backend.PutOptions{}); err != nil {
		s.Fatal(err)
	}
}

func (s *subject) stat(path string) backend.Entry {
	s.Helper()
	entry, err := s.Stat(s.Context(), path)
	if err != nil {
		s.Fatal(err)
	}
	return entry
}

func (s *subject) get(path string) string {
	s.Helper()
	var got bytes.Buffer
	entry := s.stat(path)
	if err := s.Read(s.Context(), entry, 0, entry.Size, &got); err != nil {
		s.Fatal(err)
	}
	return got.String()
}

// refused wants an error about a path.
func (s *subject) refused(what string, err, want error) {
	s.Helper()
	if _, ok := errors.AsType[*fs.PathError](err); !ok || !errors.Is(err, want) {
		s.Errorf("%s: %v, want an fs.PathError with %q", what, err, want)
	}
}

func (s *subject) paths(dir string, recursive bool) (paths []string) {
	s.Helper()
	entries, err := s.List(s.Context(), dir, recursive)
	if err != nil {
		s.Fatal(err)
	}
	for _, entry := range entries {
		paths = append(paths, entry.Path)
	}
	return paths
}

func testEmpty(s *subject) {
	if got := s.paths("", true); len(got) != 0 {
		s.Errorf("it has %q", got)
	}
	if got := s.stat("/"); got.Type != backend.Directory {
		s.Errorf("the root is %+v", got)
	}
}

func testRoundTrip(s *subject) {
	var sources []backend.Source
	for name, body := range Samples() {
		sources = append(sources, Source("/in/"+name, body))
	}
	var moved atomic.Int64
	options := backend.PutOptions{Moved: func(n int64) { moved.Add(n) }}
	before := time.Now().Add(-time.Minute)
	if err := s.Put(s.Context(), sources, options); err != nil {
		s.Fatal(err)
	}
	if moved.Load() == 0 {
		s.Error("nothing is said to have moved")
	}
	for name, want := range Samples() {
		if got := s.get("in/" + name); got != string(want) {
			s.Errorf("%q: %d bytes, want %d, or others", name, len(got), len(want))
		}
		if entry := s.stat("in/" + name); entry.Size != int64(len(want)) || entry.Modified.Before(before) || entry.Modified.After(time.Now().Add(time.Minute)) {
			s.Errorf("%q is %+v", name, entry)
		}
	}
}

func testRanges(s *subject) {
	body := Samples()["holes"]
	if err := s.Put(s.Context(), []backend.Source{Source("f", body)}, backend.PutOptions{}); err != nil {
		s.Fatal(err)
	}
	entry, size := s.stat("f"), int64(len(body))
	for _, r := range [][2]int64{{0, 0}, {0, 1}, {5, 10}, {Block - 1, 2}, {Block, Block}, {7, Block}, {Block + 9, size}, {size - 1, 100}, {size, 1}} {
		var got bytes.Buffer
		err := s.Read(s.Context(), entry, r[0], r[1], &got)
		if want := body[r[0]:min(size, r[0]+r[1])]; err != nil || !bytes.Equal(got.Bytes(), want) {
			s.Errorf("%d bytes from %d on: %d bytes, %v; want %d", r[1], r[0], got.Len(), err, len(want))
		}
	}
}

// testCompare wants a content to be told from every other: shorter ones, and such with one other bit.
func testCompare(s *subject) {
	body := Samples()["holes"][:Block+5000]
	body[0] ^= 1 // of which no volume has a block yet
	if err := s.Put(s.Context(), []backend.Source{Source("d/f", body), Source("d/empty", nil)}, backend.PutOptions{}); err != nil {
		s.Fatal(err)
	}
	compare := func(name string, length int, with []byte, want bool) {
		s.Helper()
		if same, err := s.Compare(s.Context(), s.stat(name), int64(length), bytes.NewReader(with)); same != want || err != nil {
			s.Errorf("the first %d bytes of %s: %v, %v, want %v", length, name, same, err, want)
		}
	}
	compare("d/empty", 0, nil, true)
	compare("d/f", len(body), body, true)
	for _, at := range []int{0, Block - 1, Block + 1, len(body) - 1} { // of which all but the first are zeros
		other := slices.Clone(body)
		other[at] ^= 1
		compare("d/f", len(body), other, false)
		compare("d/f", at, other, true)
		compare("d/f", at+1, other, false)
		compare("d/f", len(body), body[:at], false)
	}
	entry := s.stat("d/f")
	entry.Size++
	_, err := s.Compare(s.Context(), entry, 1, bytes.NewReader([]byte("a")))
	s.refused("comparing with what was cut", err, backend.ErrChanged)
	_, err = s.Compare(s.Context(), backend.Entry{Path: "nosuch", Type: backend.File, Size: 1}, 1, bytes.NewReader([]byte("a")))
	s.refused("comparing with what is not there", err, fs.ErrNotExist)
	_, err = s.Compare(s.Context(), s.stat("d"), 0, bytes.NewReader(nil))
	s.refused("comparing with a directory", err, backend.ErrIsDirectory)
}

func testList(s *subject) {
	for _, path := range []string{"b/c/d", "b-c", "b/a", "a"} {
		s.put(path, path)
	}
	if got, want := s.paths("/", true), []string{"a", "b", "b-c", "b/a", "b/c", "b/c/d"}; !slices.Equal(got, want) {
		s.Errorf("all is %q, want %q", got, want)
	}
	if got, want := s.paths("b/", false), []string{"b/a", "b/c"}; !slices.Equal(got, want) {
		s.Errorf("b has %q, want %q", got, want)
	}
	if got := s.stat("b/c"); got.Type != backend.Directory || got.Path != "b/c" {
		s.Errorf("a directory is %+v", got)
	}
}

func testListFile(s *subject) {
	s.put("d/f", "x")
	if got := s.paths("/d/f/", true); !slices.Equal(got, []string{"d/f"}) {
		s.Errorf("it has %q", got)
	}
}

func testReplace(s *subject) {
	s.put("f", "a long content")
	s.put("f", "short")
	if got := s.get("f"); got != "short" {
		s.Errorf("it has %q", got)
	}
}

func testExclusive(s *subject) {
	exclusive := backend.PutOptions{Exclusive: true}
	first := []backend.Source{Source("d/f", []byte("first"))}
	for range 2 { // the answer to the first may be lost
		if err := s.Put(s.Context(), first, exclusive); err != nil {
			s.Fatal(err)
		}
	}
	s.refused("another", s.Put(s.Context(), []backend.Source{Source("d/f", []byte("other"))}, exclusive), fs.ErrExist)
	if got := s.get("d/f"); got != "first" {
		s.Errorf("it has %q", got)
	}
	if got := s.paths("", true); !slices.Equal(got, []string{"d", "d/f"}) {
		s.Errorf("what is left is %q", got)
	}
}

func testRace(s *subject) {
	var won atomic.Int64
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			err := s.Put(s.Context(), []backend.Source{Source("claim.json", []byte{byte(i)})}, backend.PutOptions{Exclusive: true})
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, fs.ErrExist) {
				// Another process may be writing, locally: that is a refusal too.
				s.Logf("refused: %v", err)
			}
		})
	}
	group.Wait()
	if won.Load() != 1 {
		s.Errorf("%d of them have won", won.Load())
	}
}

func testTypes(s *subject) {
	s.put("f", "x")
	s.put("d/f", "x")
	s.refused("a file in the place of a directory", s.Put(s.Context(), []backend.Source{Source("d", []byte("y"))}, backend.PutOptions{}), fs.ErrExist)
	s.refused("a file below a file", s.Put(s.Context(), []backend.Source{Source("f/g", []byte("y"))}, backend.PutOptions{}), fs.ErrExist)
	if got := s.get("f") + s.get("d/f"); got != "xx" {
		s.Errorf("they have %q", got)
	}
	if got := s.paths("", true); !slices.Equal(got, []string{"d", "d/f", "f"}) {
		s.Errorf("what is left is %q", got)
	}
}

func testTwice(s *subject) {
	s.refused("one path twice", s.Put(s.Context(), []backend.Source{Source("a/b", []byte("1")), Source("/a//b", []byte("2"))}, backend.PutOptions{}), fs.ErrExist)
	if got := s.paths("", true); len(got) != 0 {
		s.Errorf("what is left is %q", got)
	}
}

func testGrown(s *subject) {
	s.put("log", "one\n")
	entry := s.stat("log")
	s.put("log", "one\ntwo\n")
	var got bytes.Buffer
	if err := s.Read(s.Context(), entry, 0, entry.Size, &got); err != nil || got.String() != "one\n" {
		s.Errorf("it reads %q, %v", got.String(), err)
	}
}

func testChanged(s *subject) {
	s.put("f", "a long content")
	entry := s.stat("f")
	s.put("f", "short")
	var got bytes.Buffer
	s.refused("reading it", s.Read(s.Context(), entry, 0, entry.Size, &got), backend.ErrChanged)
}

// testWhole reads with an entry that is older than the file, as when a record is replaced after it was listed.
func testWhole(s *subject) {
	for _, now := range []string{`{"reason": "a longer one"}`, `{}`, ""} {
		s.put("record.json", `{"reason": "old"}`)
		entry := s.stat("record.json")
		entry.Whole = true
		s.put("record.json", now)
		var got bytes.Buffer
		if err := s.Read(s.Context(), entry, 0, entry.Size, &got); err != nil || got.String() != now {
			s.Errorf("it reads %q, %v, want %q", got.String(), err, now)
		}
	}
}

func testShortSource(s *subject) {
	source := Source("f", []byte("short"))
	source.Size = 100
	s.refused("putting it", s.Put(s.Context(), []backend.Source{source}, backend.PutOptions{}), backend.ErrChanged)
	if got := s.paths("", true); len(got) != 0 {
		s.Errorf("what is left is %q", got)
	}
}

func testNotFound(s *subject) {
	s.put("f", "x")
	_, err := s.Stat(s.Context(), "no/such")
	s.refused("stat", err, fs.ErrNotExist)
	_, err = s.List(s.Context(), "no/such", true)
	s.refused("list", err, fs.ErrNotExist)
	_, err = s.Stat(s.Context(), "f/g")
	s.refused("a path through a file", err, fs.ErrNotExist)
	for _, recursive := range []bool{false, true} {
		s.refused("remove", s.Remove(s.Context(), "no/such", recursive), fs.ErrNotExist)
	}
	entry := s.stat("f")
	if err := s.Remove(s.Context(), "f", false); err != nil {
		s.Fatal(err)
	}
	s.refused("read", s.Read(s.Context(), entry, 0, entry.Size, new(bytes.Buffer)), fs.ErrNotExist)
}

func testRemove(s *subject) {
	for _, path := range []string{"d/f", "d/e/f", "d-e", "f"} {
		s.put(path, "x")
	}
	s.refused("a directory", s.Remove(s.Context(), "d", false), backend.ErrIsDirectory)
	s.refused("all", s.Remove(s.Context(), "/", true), fs.ErrInvalid)
	for _, path := range []string{"/d/", "f"} {
		if err := s.Remove(s.Context(), path, path != "f"); err != nil {
			s.Errorf("remove %s: %v", path, err)
		}
	}
	if got := s.paths("", true); !slices.Equal(got, []string{"d-e"}) {
		s.Errorf("what is left is %q", got)
	}
}

func testInvalid(s *subject) {
	s.put("d/f", "x")
	for _, path := range []string{"..", "../x", "d/../../x", "d/..", "/../x", "x\x00"} {
		_, err := s.Stat(s.Context(), path)
		s.refused("stat "+path, err, fs.ErrInvalid)
		_, err = s.List(s.Context(), path, true)
		s.refused("list "+path, err, fs.ErrInvalid)
		s.refused("read "+path, s.Read(s.Context(), backend.Entry{Path: path, Type: backend.File, Size: 1}, 0, 1, new(bytes.Buffer)), fs.ErrInvalid)
		s.refused("put "+path, s.Put(s.Context(), []backend.Source{Source(path, nil)}, backend.PutOptions{}), fs.ErrInvalid)
		s.refused("remove "+path, s.Remove(s.Context(), path, true), fs.ErrInvalid)
	}
}

func testReadDirectory(s *subject) {
	s.put("d/f", "x")
	s.refused("read", s.Read(s.Context(), s.stat("d"), 0, 1, new(bytes.Buffer)), backend.ErrIsDirectory)
}

func testCancelled(s *subject) {
	s.put("f", "x")
	entry := s.stat("f")
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(s.Context())
	cancel(cause)
	_, statErr := s.Stat(ctx, "f")
	_, listErr := s.List(ctx, "", true)
	for what, err := range map[string]error{
		"stat": statErr, "list": listErr, "remove": s.Remove(ctx, "f", false),
		"read": s.Read(ctx, entry, 0, 1, new(bytes.Buffer)), "put": s.Put(ctx, []backend.Source{Source("g", []byte("x"))}, backend.PutOptions{}),
	} {
		if !errors.Is(err, cause) && !errors.Is(err, context.Canceled) {
			s.Errorf("%s: %v, want the cause", what, err)
		}
	}
	if got := s.paths("", true); !slices.Equal(got, []string{"f"}) {
		s.Errorf("what is left is %q", got)
	}
}

// failing is a writer that has had enough after some bytes.
type failing struct{ left int }

func (f *failing) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, iotest.ErrTimeout
	}
	return len(p), nil
}

func testWriter(s *subject) {
	body := Samples()["three-blocks"]
	if err := s.Put(s.Context(), []backend.Source{Source("f", body)}, backend.PutOptions{}); err != nil {
		s.Fatal(err)
	}
	for range 3 { // what an abandoned reading holds is given back
		if err := s.Read(s.Context(), s.stat("f"), 0, int64(len(body)), &failing{left: Block}); !errors.Is(err, iotest.ErrTimeout) {
			s.Errorf("%v, want the error of the writer", err)
		}
	}
}

func testMany(s *subject) {
	var sources []backend.Source
	for i := range 600 {
		sources = append(sources, Source("many/"+string(rune('a'+i%26))+"/"+time.Duration(i).String(), []byte{byte(i), byte(i >> 8)}))
	}
	if err := s.Put(s.Context(), sources, backend.PutOptions{Exclusive: true}); err != nil {
		s.Fatal(err)
	}
	if got := len(s.paths("many", true)); got != 600+26 {
		s.Errorf("there are %d entries, want 626", got)
	}
	var group sync.WaitGroup
	for _, source := range sources[:50] {
		group.Go(func() {
			body, _ := source.Open()
			want := make([]byte, 2)
			_, _ = body.ReadAt(want, 0)
			var got bytes.Buffer
			entry, err := s.Stat(s.Context(), source.Path)
			if err == nil {
				err = s.Read(s.Context(), entry, 0, 2, &got)
			}
			if err != nil || !bytes.Equal(got.Bytes(), want) {
				s.Errorf("%s has %q, %v; want %q", source.Path, got.Bytes(), err, want)
			}
		})
	}
	group.Wait()
}
