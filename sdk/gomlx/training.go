package gomlx

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train"
	"github.com/gomlx/gomlx/ml/train/metric"
	"github.com/gomlx/gomlx/ml/train/optimizer"
)

// training is what is known of the graphs of the training step.
type training struct {
	// What goes into checkpoints follows from the steps that were made, whatever attempts made them.
	uses    map[string]bool // names of the variables that the graphs use, since all graphs were last built anew
	several bool            // the graphs differ in them

	built    []built // of this attempt, but for those that are gone
	compared bool    // the first of them with the checkpoint
	watched  int     // optimizers
	current  int     // number of the optimizer whose graph was built last, from 0
	stepping bool    // Loop is within Trainer.TrainStep
}

// built is a graph of the training step.
type built struct {
	graph     *graph.Graph
	trainable map[*model.Variable]bool // the flags that it was built by
	examined  bool
}

func (b built) isExamined() bool { return b.examined }

func (b built) isGone() bool { return !b.graph.IsValid() }

// building says whether a graph of a training step is being built, and with the optimizer of which number.
func (t *training) building() (optimizer int, ok bool) {
	last := len(t.built) - 1
	return t.current, t.stepping || last >= 0 && t.built[last].graph.IsBuilding()
}

// begin holds that the first step begins with what was loaded. It is called before that step.
func (s *State) begin() error {
	if s.begun {
		return nil
	}
	if s.loaded != nil {
		if err := s.checkUnchanged(); err != nil {
			return err
		}
	}
	if err := s.checkParams(); err != nil {
		return err
	}
	s.begun = true
	return nil
}

func (s *State) checkUnchanged() error {
	existing := map[string]bool{}
	for _, e := range s.entries() {
		existing[e.name] = true
		if e.variable == nil || !s.loaded.has(e.name) {
			continue
		}
		var digest uint64
		if err := e.read(func(data []byte) error { digest = digestOf(data); return nil }); err != nil {
			return fmt.Errorf("variable %s: %w", e.name, err)
		}
		if digest != s.loaded.variables[e.name].digest {
			return fmt.Errorf("variable %s was loaded from the checkpoint and changed before the first step, so the run would not go on as it was: change it only where run.Resume has returned 0", e.name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.loaded.variables)) {
		if !existing[name] {
			return fmt.Errorf("variable %s was loaded from the checkpoint and deleted before the first step, so the run would not go on as it was: delete it only where run.Resume has returned 0", name)
		}
	}
	return nil
}

// examine looks at the graphs that were built since it was called last. It compares the first of an attempt with what the
// checkpoint says: GoMLX initialises a variable that the checkpoint lacks, and ignores one that the model does not use,
// both in silence.
func (s *State) examine() error {
	t := &s.training
	examined := slices.ContainsFunc(t.built, built.isExamined)
	t.built = slices.DeleteFunc(t.built, built.isGone)
	if examined && !slices.ContainsFunc(t.built, built.isExamined) {
		t.uses, t.several = nil, false // Trainer.ResetComputationGraphs, behind which a graph may have other variables
	}
	for i := range t.built {
		if t.built[i].examined {
			continue
		}
		used, err := s.usedBy(t.built[i].graph)
		if err != nil {
			return err
		}
		if err := s.use(used); err != nil {
			return err
		}
		t.built[i].examined = true
	}
	return nil
}

// use adds the variables of a graph.
func (s *State) use(used map[string]bool) error {
	t := &s.training
	first := !t.compared
	t.compared = true
	switch {
	case first && s.loaded != nil && s.loaded.partial:
		if err := s.compare(partly(t.uses), partly(used)); err != nil {
			return err
		}
		t.uses = used
	case len(t.uses) == 0 || maps.Equal(t.uses, used):
		t.uses = used
	case first && !t.several:
		return s.compare(t.uses, used)
	default:
		t.several = true
		maps.Copy(t.uses, used)
	}
	return nil
}

// partly leaves out what a checkpoint of mtt-gomlx/1 does not have, and the random numbers, which it has even where no step
// uses them.
func partly(names map[string]bool) map[string]bool {
	kept := maps.Clone(names)
	maps.DeleteFunc(kept, func(name string, _ bool) bool {
		return name == randomPath || name == learningRatePath || name == lastStepPath || strings.HasPrefix(name, metricsPrefix)
	})
	return kept
}

var (
	learningRatePath = model.JoinPath("/", optimizer.Scope, optimizer.ParamLearningRate)
	lastStepPath     = model.JoinPath(train.TrainerAbsoluteScope, train.TrainLastStepVarName)
	metricsPrefix    = model.JoinPath("/", metric.Scope) + model.ScopeSeparator
)

func (s *State) usedBy(g *graph.Graph) (map[string]bool, error) {
	used := map[string]bool{}
	for variable := range s.store.IterVariables() {
		if !variable.InUseByGraph(g) {
			continue
		}
		name, ok := s.metrics.name(variable.Path())
		if !ok {
			return nil, fmt.Errorf("the training step goes on with %s of a metric that was made before it, so it could not be resumed: give the evaluation a metric of its own", variable.Path())
		}
		used[name] = true
	}
	return used, nil
}

// compare fails if a training step uses other variables than those before the checkpoint did.
func (s *State) compare(before, now map[string]bool) error {
	var reasons []string
	if missing := without(now, before); len(missing) > 0 {
		reasons = append(reasons, "its training has no "+strings.Join(missing, ", "))
	}
	if unused := without(before, now); len(unused) > 0 {
		reasons = append(reasons, "this training does not use its "+strings.Join(unused, ", "))
	}
	if len(reasons) == 0 {
		return nil
	}
	return fmt.Errorf("the checkpoint that was loaded is not of this model: %s", strings.Join(reasons, "; "))
}

// without lists the names in a that are not in b, sorted, and at most the first ten of them.
func without(a, b map[string]bool) []string {
	only := maps.Clone(a)
	maps.DeleteFunc(only, func(name string, _ bool) bool { return b[name] })
	const most = 10
	names := slices.Sorted(maps.Keys(only))
	if more := len(names) - most; more > 0 {
		names = append(names[:most], fmt.Sprintf("and %d more", more))
	}
	return names
}

// checkTrainable fails if a variable has another trainable flag than when the graph that trains it was built: the flag
// has no effect on that graph, and would have one on that of a resume.
func (s *State) checkTrainable() error {
	for variable := range s.store.IterVariables() {
		for _, b := range s.training.built {
			if was, ok := b.trainable[variable]; ok && was != variable.Trainable && !b.isGone() {
				return fmt.Errorf("variable %s has become trainable=%t, and the training step was built before: call Trainer.ResetComputationGraphs where you change it, or a resume would not train as this attempt does", variable.Path(), variable.Trainable)
			}
		}
	}
	return nil
}
