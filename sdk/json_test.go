package sdk

import (
	"bytes"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
)

// blobs is a checkpoint in memory.
type blobs map[string]*bytes.Buffer

func (b blobs) Create(name string) (io.Writer, error) {
	b[name] = new(bytes.Buffer)
	return b[name], nil
}

func (b blobs) Open(name string) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(b[name].Bytes())), nil
}

func (b blobs) Step() int64 { return 0 }

func (b blobs) Blobs() (list []Blob) {
	for name, content := range b {
		list = append(list, Blob{Name: name, Size: int64(content.Len())})
	}
	return list
}

type patience struct {
	Best   float64
	Bad    int
	Random *rand.PCG
}

func TestSmallStateComesBackBesideTheModel(t *testing.T) {
	model, small := &counter{n: 3}, patience{Best: math.Inf(1), Bad: 2, Random: rand.NewPCG(1, 2)}
	small.Random.Uint64()
	saved := blobs{}
	if err := (states{model, JSON("early.json", &small)}).Save(saved); err != nil {
		t.Fatal(err)
	}
	other, back := &counter{}, patience{Random: new(rand.PCG)}
	if err := (states{other, JSON("early.json", &back)}).Load(saved); err != nil {
		t.Fatal(err)
	}
	if other.n != 3 || back.Best != small.Best || back.Bad != 2 || back.Random.Uint64() != small.Random.Uint64() {
		t.Errorf("it came back as %+v and %+v", other, back)
	}
}

func TestStateThatWouldLoseSomethingIsRefusedBeforeTraining(t *testing.T) {
	for want, state := range map[string]State{
		"the state is nil":           nil,
		"best cannot be kept":        JSON("early.json", &struct{ best float64 }{}),
		"want a pointer":             JSON("early.json", patience{}),
		"want a pointer ":            JSON("early.json", (*patience)(nil)),
		"was given <nil>":            JSON("early.json", nil),
		`want a name such as "early`: JSON("Early stopping", &patience{}),
	} {
		run := &Run{request: new(experimentv1.TrainRequest)}
		if _, err := run.Resume(&counter{}, state); err == nil || !strings.Contains(err.Error()+" ", want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func TestSmallStateThatDoesNotFitIsNotLoaded(t *testing.T) {
	small := patience{Random: new(rand.PCG)}
	if err := JSON("early.json", &small).Load(blobs{}); err == nil || !strings.Contains(err.Error(), "has no blob early.json") {
		t.Errorf("without a blob: %v", err)
	}
	saved := blobs{"early.json": bytes.NewBufferString(`{"Best": 1, "Bad": 2}`)}
	if err := JSON("early.json", &small).Load(saved); err == nil || !strings.Contains(err.Error(), "no value for the field Random") {
		t.Errorf("without a field: %v", err)
	}
}
