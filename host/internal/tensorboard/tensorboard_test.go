package tensorboard_test

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/mtt-project/mtt/host/internal/tensorboard"
	"github.com/mtt-project/mtt/host/internal/tensorboard/tbtest"
)

// checkpoint is what the records of a run tell of the curves up to a save.
type checkpoint struct {
	kept      []tensorboard.Place
	lastSteps map[string]int64
}

// attempt logs the steps from first to last, and saves behind the step save; 0 for none.
func attempt(t *testing.T, dir string, number int, resume checkpoint, first, save, last int64) (saved checkpoint) {
	t.Helper()
	writer, err := tensorboard.Create(dir, tensorboard.Options{Attempt: number, Kept: resume.kept, LastSteps: resume.lastSteps})
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Warning(); err != nil {
		t.Fatal(err)
	}
	var n uint64
	for step := first; step <= last; step++ {
		points := []tensorboard.Point{
			{Tag: "loss", Step: step, Value: 1 / float32(step), WallTime: float64(step)}, // infinite at step 0
			{Tag: "accuracy", Step: step, Value: float32(math.Sin(float64(step))), WallTime: float64(step)},
			{Tag: "ratio", Step: step, Value: float32(math.Log(float64(25 - step))), WallTime: float64(step)}, // -Inf at 25, then NaN
		}
		if step%10 == 0 {
			points = append(points, tensorboard.Point{Tag: "epoch", Step: step, Value: float32(step) / 10, WallTime: float64(step)})
		}
		if step == last && save != 0 { // a tag that only this attempt has, behind its save
			points = append(points, tensorboard.Point{Tag: "late", Step: step, Value: 1, WallTime: float64(step)})
		}
		if err := writer.Add(points); err != nil {
			t.Fatal(err)
		}
		n += uint64(len(points))
		if step == save {
			place, err := writer.PlaceAfter(n)
			if err != nil {
				t.Fatal(err)
			}
			saved = checkpoint{append(slices.Clip(resume.kept), place), writer.LastSteps()}
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return saved
}

func curves(t *testing.T, dir string) tbtest.Curves {
	t.Helper()
	read, err := tensorboard.Curves(dir)
	if err != nil {
		t.Fatal(err)
	}
	converted := tbtest.Curves{}
	for tag, points := range read {
		for _, p := range points {
			converted[tag] = append(converted[tag], tbtest.Point{Step: p.Step, Value: p.Value})
		}
	}
	return converted
}

func TestPlaceIsRightBehindThePointWhateverCameLater(t *testing.T) {
	dir := t.TempDir()
	writer, err := tensorboard.Create(dir, tensorboard.Options{Attempt: 1})
	if err != nil {
		t.Fatal(err)
	}
	var points []tensorboard.Point
	for step := range int64(10) {
		points = append(points, tensorboard.Point{Tag: "loss", Step: step, Value: float32(step)})
	}
	for _, batch := range [][]tensorboard.Point{points[:3], points[3:8], points[8:]} {
		if err := writer.Add(batch); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []uint64{0, 2, 3, 5, 10} { // within batches and at their ends, and each later than the one before
		place, err := writer.PlaceAfter(n)
		if err != nil {
			t.Fatal(err)
		}
		copied := t.TempDir()
		content, err := os.ReadFile(filepath.Join(dir, place.File))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, place.File), content[:place.Bytes], 0o600); err != nil {
			t.Fatal(err)
		}
		if got := uint64(len(curves(t, copied)["loss"])); got != n {
			t.Errorf("%d points are before the place of point %d", got, n)
		}
	}
	if _, err := writer.PlaceAfter(2); err == nil {
		t.Error("a point before an earlier save was found")
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestValuesSurviveBitForBitAlsoWhereTheyAreRepeated(t *testing.T) {
	dir := t.TempDir()
	values := []float32{0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), math.SmallestNonzeroFloat32, math.MaxFloat32}
	killed, err := tensorboard.Create(dir, tensorboard.Options{Attempt: 1})
	if err != nil {
		t.Fatal(err)
	}
	add := func(i int) {
		if err := killed.Add([]tensorboard.Point{{Tag: "v", Step: int64(i) << 40, Value: values[i], WallTime: 1.5}}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range values {
		add(i)
	}
	place, err := killed.PlaceAfter(uint64(len(values)))
	if err != nil {
		t.Fatal(err)
	}
	add(0) // which is not kept, and has all that are repeated
	if err := killed.Close(); err != nil {
		t.Fatal(err)
	}
	resumed, err := tensorboard.Create(dir, tensorboard.Options{Attempt: 2, Kept: []tensorboard.Place{place}, LastSteps: map[string]int64{"v": 6 << 40}})
	if err != nil {
		t.Fatal(err)
	}
	if err := resumed.Close(); err != nil {
		t.Fatal(err)
	}
	if resumed.Name() <= place.File {
		t.Errorf("%s does not come after %s", resumed.Name(), place.File)
	}
	read, err := tensorboard.Curves(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range read["v"] {
		if math.Float32bits(p.Value) != math.Float32bits(values[i]) || p.Step != int64(i)<<40 || p.WallTime != 1.5 {
			t.Errorf("point %d is %v, want value %v", i, p, values[i])
		}
	}
	if len(read["v"]) != len(values) {
		t.Errorf("there are %d points, want %d", len(read["v"]), len(values))
	}
}

func TestAttemptThatLogsAndHidesNothingMakesNoFile(t *testing.T) {
	dir := t.TempDir()
	first := attempt(t, dir, 1, checkpoint{}, 0, 20, 20)
	second := attemptOfNothing(t, dir, 2, first)
	if want := first.kept[0]; second != want {
		t.Errorf("its curves end at %v, want %v", second, want)
	}
	if anew := attemptOfNothing(t, t.TempDir(), 1, checkpoint{}); anew != (tensorboard.Place{}) {
		t.Errorf("those of a run without a point end at %v", anew)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != 1 {
		t.Errorf("there are %v, %v", names, err)
	}
}

// attemptOfNothing returns where the curves of an attempt end that logs nothing.
func attemptOfNothing(t *testing.T, dir string, number int, resume checkpoint) tensorboard.Place {
	t.Helper()
	writer, err := tensorboard.Create(dir, tensorboard.Options{Attempt: number, Kept: resume.kept, LastSteps: resume.lastSteps})
	if err != nil {
		t.Fatal(err)
	}
	for _, do := range []func() error{writer.Suspend, writer.Resume} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	place, err := writer.PlaceAfter(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return place
}
