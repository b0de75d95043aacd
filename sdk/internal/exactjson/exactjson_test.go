package exactjson

import (
	"math"
	"math/big"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/quick"
	"time"
)

// inner and whole have one field of each kind.
type inner struct {
	Text  string
	Small float32
	Next  *inner
}

type whole struct {
	On      bool
	Int     int64
	Byte    int8
	Uint    uint64
	Word    uint16
	Float   float64
	Pair    [2]float32
	Bytes   []byte
	List    []inner
	ByName  map[string]inner
	ByStep  map[int]float64
	Pointer *inner `json:"pointer,omitempty"`
	Deep    [][]int
}

// same compares as the promise says: to the bit, but that a NaN is a NaN.
func same(t *testing.T, got, want any) {
	t.Helper()
	first, err := Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if string(first) != string(second) {
		t.Errorf("got %s\nwant %s", first, second)
	}
}

func TestValuesComeBackAsTheyWere(t *testing.T) {
	if err := Check(reflect.TypeFor[whole]()); err != nil {
		t.Fatal(err)
	}
	roundTrip := func(value whole) bool {
		text, err := Marshal(&value)
		if err != nil {
			t.Fatal(err)
		}
		back := whole{Float: 1, Bytes: []byte("old"), List: make([]inner, 3), Pointer: &inner{Text: "old"}}
		if err := Unmarshal(text, &back); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return reflect.DeepEqual(back, value)
	}
	if err := quick.Check(roundTrip, nil); err != nil {
		t.Error(err)
	}
	for name, value := range map[string]whole{
		"nothing":         {},
		"the ends":        {Int: math.MinInt64, Byte: math.MinInt8, Uint: math.MaxUint64, Word: math.MaxUint16, Float: math.MaxFloat64},
		"the least":       {Int: math.MaxInt64, Float: math.SmallestNonzeroFloat64, Pair: [2]float32{math.SmallestNonzeroFloat32, math.MaxFloat32}},
		"no finite ones":  {Float: math.Inf(1), Pair: [2]float32{float32(math.Inf(-1)), 0}},
		"empty, not nil":  {Bytes: []byte{}, List: []inner{}, ByName: map[string]inner{}, ByStep: map[int]float64{}, Deep: [][]int{nil, {}}},
		"text as numbers": {ByName: map[string]inner{"NaN": {Text: "NaN"}, "": {Text: "1"}}, ByStep: map[int]float64{-1: math.Inf(-1)}},
	} {
		if !roundTrip(value) {
			t.Errorf("%s does not come back", name)
		}
	}
}

func TestWhatIsNoFiniteNumberComesBack(t *testing.T) {
	value := []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 0, 0.1}
	text, err := Marshal(&value)
	if err != nil {
		t.Fatal(err)
	}
	var back []float64
	if err := Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	for i := range value {
		if math.Float64bits(back[i]) != math.Float64bits(value[i]) {
			t.Errorf("%v came back as %v", value[i], back[i])
		}
	}
}

func TestTypesThatWriteThemselvesAreKept(t *testing.T) {
	value := struct {
		Random  *rand.PCG
		Inline  rand.ChaCha8
		Big     big.Int
		Time    time.Time
		Streams map[string]rand.PCG
	}{Random: rand.NewPCG(1, 2), Inline: *rand.NewChaCha8([32]byte{3}), Time: time.Unix(5, 7).UTC(), Streams: map[string]rand.PCG{"a": *rand.NewPCG(3, 4)}}
	value.Big.SetString("123456789012345678901234567890", 10)
	value.Random.Uint64()
	value.Inline.Uint64()
	if err := Check(reflect.TypeOf(value)); err != nil {
		t.Fatal(err)
	}
	text, err := Marshal(&value)
	if err != nil {
		t.Fatal(err)
	}
	want := []uint64{value.Random.Uint64(), value.Inline.Uint64()}
	back := value
	back.Random, back.Streams, back.Big, back.Time = new(rand.PCG), nil, big.Int{}, time.Time{}
	random := rand.New(back.Random) // made before, as an experiment does
	if err := Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if got := []uint64{random.Uint64(), back.Inline.Uint64()}; !reflect.DeepEqual(got, want) {
		t.Errorf("the generators go on with %v, want %v", got, want)
	}
	if !back.Time.Equal(value.Time) || back.Big.Cmp(&value.Big) != 0 || !reflect.DeepEqual(back.Streams, value.Streams) {
		t.Errorf("got %+v, want %+v", back, value)
	}
}

func TestTypesThatWouldLoseSomethingAreRefused(t *testing.T) {
	type hidden struct{ best float64 }
	for want, value := range map[string]any{
		"hidden.best cannot be kept, since it is not exported": hidden{best: 1},
		".Inner.best cannot be kept":                           struct{ Inner []*hidden }{},
		".Rand.src":                                            struct{ Rand rand.Rand }{},
		".Count._":                                             struct{ Count atomic.Int64 }{},
		".Any is a interface {}":                               struct{ Any any }{},
		".Call is a func()":                                    struct{ Call func() }{},
		".Wait[] is a chan int":                                struct{ Wait map[string]chan int }{},
		".Z is a complex128":                                   struct{ Z complex128 }{},
		"want keys that are strings":                           map[float64]int{},
		`the JSON name "B", as another`: struct {
			A int `json:"B"`
			B int
		}{},
	} {
		if err := Check(reflect.TypeOf(value)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%T: got %v, want an error with %q", value, err, want)
		}
	}
	if err := Check(reflect.TypeFor[struct {
		Kept int
		Out  chan int `json:"-"`
	}]()); err != nil {
		t.Errorf("a field that is left out on purpose: %v", err)
	}
}

func TestValuesThatCannotBeWrittenAreRefused(t *testing.T) {
	loop := &inner{}
	loop.Next = loop
	for want, value := range map[string]any{
		"no UTF-8":  &inner{Text: "caf\xe9"},
		"no UTF-8 ": &map[string]int{"\xff": 1},
		"contain":   loop,
	} {
		if _, err := Marshal(value); err == nil || !strings.Contains(err.Error()+" ", want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func TestTextThatDoesNotFitIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{"Text": "a", "Small": 1}`:                                      "no value for the field Next",
		`{"Text": "a", "Small": 1, "Next": null, "Old": 2}`:              "a value for Old, and no such field",
		`{"text": "a", "Small": 1, "Next": null}`:                        "no value for the field Text",
		`{"Text": 1, "Small": 1, "Next": null}`:                          "Text: 1 is no string",
		`{"Text": "a", "Small": "one", "Next": null}`:                    `Small: "one" is no float32`,
		`{"Text": "a", "Small": 1e39, "Next": null}`:                     "Small: 1e39 is no float32",
		`{"Text": "a", "Small": null, "Next": null}`:                     "Small: null is no float32",
		`{"Text": "a", "Small": 1, "Next": {"Text": "b", "Next": null}}`: "Next: there is no value for the field Small",
		`[]`:                     "is no exactjson.inner",
		`{"Text": "a"} {}`:       "follows",
		`{"Text": "a", "Small":`: "EOF",
	} {
		if err := Unmarshal([]byte(text), new(inner)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", text, err, want)
		}
	}
	for _, value := range []any{new(int8), new(uint), new([2]int), new(rand.PCG), new([]byte), new(map[int]int), new(bool)} {
		for _, text := range []string{`1000`, `-1000`, `[1]`, `"?"`, `{"a": 1}`, `1.5`} {
			if reflect.TypeOf(value).Elem().Kind() == reflect.Uint && text == `1000` {
				continue
			}
			if err := Unmarshal([]byte(text), value); err == nil {
				t.Errorf("%s was read as a %T", text, value)
			}
		}
	}
}

func TestSameValueGivesTheSameText(t *testing.T) {
	value := whole{ByName: map[string]inner{}, ByStep: map[int]float64{}}
	for i := range 100 {
		value.ByStep[i], value.ByName[strings.Repeat("x", i)] = math.NaN(), inner{}
	}
	for range 10 {
		same(t, &value, &value)
	}
}

// TestTextNeverChanges holds the text that checkpoints have.
func TestTextNeverChanges(t *testing.T) {
	value := struct {
		Best   float64 `json:"best"`
		Bad    []int64
		Random *rand.PCG
		When   map[int]float32
	}{math.Inf(1), []int64{-1, 1 << 60}, rand.NewPCG(1, 2), map[int]float32{3: 0.1}}
	text, err := Marshal(&value)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
  "Bad": [
    -1,
    1152921504606846976
  ],
  "Random": "cGNnOgAAAAAAAAABAAAAAAAAAAI=",
  "When": {
    "3": 0.1
  },
  "best": "Infinity"
}
`
	if string(text) != want {
		t.Errorf("got  %q\nwant %q", text, want)
	}
}
