package digits

import (
	"bytes"
	"io"
	"testing"

	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train"
	"github.com/gomlx/gomlx/ml/train/loss"
	"github.com/gomlx/gomlx/ml/train/optimizer"

	"github.com/mtt-project/mtt/sdk/gomlx"
)

// TestEvaluationChangesNothing compares the whole state, random numbers included, before and after: a run that is
// resumed behind an evaluation would otherwise not be the same run.
func TestEvaluationChangesNothing(t *testing.T) {
	trainSet, testSet, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	backend, err := gomlx.Backend("go")
	if err != nil {
		t.Fatal(err)
	}
	store := model.NewStore()
	state, err := gomlx.NewState(backend, store, 1)
	if err != nil {
		t.Fatal(err)
	}
	const batchSize = 64
	network := Network{Kind: MLP, Hidden: 128, Dropout: 0.3}
	trainer := train.NewTrainer(backend, store, network.Logits,
		loss.SparseCategoricalCrossEntropyLogits, state.Watch(optimizer.Adam().Done()), nil, nil)
	evaluator, err := NewEvaluator(backend, store, network, batchSize, testSet)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trainer.TrainStep(trainSet.Batch()); err != nil {
		t.Fatal(err)
	}
	before := save(t, state)
	first, err := evaluator.Evaluate()
	if err != nil {
		t.Fatal(err)
	}
	second, err := evaluator.Evaluate()
	if err != nil {
		t.Fatal(err)
	}
	if first != second || first.Accuracy <= 0 || first.Loss <= 0 {
		t.Errorf("the same model scores %+v, and then %+v", first, second)
	}
	if !bytes.Equal(save(t, state), before) {
		t.Error("the state is another one after an evaluation")
	}
}

func save(t *testing.T, state *gomlx.State) []byte {
	t.Helper()
	var saved checkpoint
	if err := state.Save(&saved); err != nil {
		t.Fatal(err)
	}
	return saved.Bytes()
}

// checkpoint takes one blob.
type checkpoint struct{ bytes.Buffer }

func (c *checkpoint) Create(string) (io.Writer, error) { return c, nil }
