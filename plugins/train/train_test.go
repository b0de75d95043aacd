package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestDefaultRunLearns runs the real experiment under the real host, as `make run` does.
func TestDefaultRunLearns(t *testing.T) {
	dir := t.TempDir()
	host, plugin := filepath.Join(dir, "mtt-host"), filepath.Join(dir, "train")
	command(t, "go", "build", "-C", "../../host", "-o", host, "./cmd/mtt-host")
	command(t, "go", "build", "-trimpath", "-buildvcs=false", "-o", plugin, ".")
	for seed := range 5 {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			var run struct {
				State  string
				Result struct{ Accuracy, Loss float64 }
			}
			printed := command(t, host, "run", plugin, "--outputs", filepath.Join(dir, "outputs"), "--seed", fmt.Sprint(seed), "-o", "json")
			if err := json.Unmarshal(printed, &run); err != nil {
				t.Fatal(err)
			}
			if run.State != "SUCCEEDED" || run.Result.Accuracy < 0.95 || !(run.Result.Loss < 0.5) {
				t.Errorf("the run came to %+v, want an accuracy of 0.95 or more, and a loss below 0.5", run)
			}
		})
	}
}

// command runs a program to its end and returns what it printed.
func command(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	printed, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Logf("%s", exit.Stderr)
		}
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return printed
}
