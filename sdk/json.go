package sdk

import (
	"fmt"
	"io"
	"reflect"
	"slices"

	"github.com/mtt-project/mtt/proto/wire"
	"github.com/mtt-project/mtt/sdk/internal/exactjson"
)

// JSON is a State for what an experiment keeps in Go variables, such as the patience of early stopping, the best loss so
// far, or a random number generator: the value that pointer points to, as readable JSON in a blob of this name.
//
//	early := struct {
//		Best float64
//		Bad  int
//	}{Best: math.Inf(1)}
//	random := rand.NewPCG(uint64(run.Seed()), 0)
//	step, err := run.Resume(model, sdk.JSON("early.json", &early), sdk.JSON("random.json", random))
//
// It comes back to the bit, NaN and infinities too. Types that write and read themselves by MarshalBinary or MarshalText
// are kept in that form: rand.PCG and rand.ChaCha8 of math/rand/v2, but not rand.Rand, which hides its source. Pointers
// that are set are loaded through, so that a rand.Rand made of a source goes on with what was loaded into it.
//
// Run.Resume fails if something of the type would be lost: a field that is not exported, an interface, a function, a
// channel. The tag `json:"-"` leaves a field out. Loading fails if a field has no value, or a value no field. The value is
// copied as a whole, so large arrays belong into a State of their own.
func JSON(name string, pointer any) State { return jsonState{name, pointer} }

type jsonState struct {
	name    string
	pointer any
}

func (s jsonState) check() error {
	v := reflect.ValueOf(s.pointer)
	switch {
	case !wire.ValidBlobName(s.name):
		return fmt.Errorf("sdk.JSON(%q): want a name such as \"early.json\"", s.name)
	case v.Kind() != reflect.Pointer || v.IsNil():
		return fmt.Errorf("sdk.JSON(%q) was given %T: want a pointer to the value", s.name, s.pointer)
	}
	if err := exactjson.Check(v.Type().Elem()); err != nil {
		return fmt.Errorf("sdk.JSON(%q): %w", s.name, err)
	}
	return nil
}

func (s jsonState) Save(w CheckpointWriter) error {
	text, err := exactjson.Marshal(s.pointer)
	if err != nil {
		return fmt.Errorf("sdk.JSON(%q): %w", s.name, err)
	}
	blob, err := w.Create(s.name)
	if err != nil {
		return err
	}
	_, err = blob.Write(text)
	return err
}

func (s jsonState) Load(r CheckpointReader) error {
	if !slices.ContainsFunc(r.Blobs(), func(blob Blob) bool { return blob.Name == s.name }) {
		return fmt.Errorf("it has no blob %s, which sdk.JSON(%q) asks for: the code that saved it kept no such state", s.name, s.name)
	}
	blob, err := r.Open(s.name)
	if err != nil {
		return err
	}
	defer blob.Close()
	text, err := io.ReadAll(blob)
	if err != nil {
		return err
	}
	if err := exactjson.Unmarshal(text, s.pointer); err != nil {
		return fmt.Errorf("blob %s is not what sdk.JSON(%q) would write: %w", s.name, s.name, err)
	}
	return nil
}
