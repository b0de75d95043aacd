package modalfake

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Preempt takes the machine away from a Sandbox, by its id or its task's; from all of them for "all". It returns the
// Sandboxes' ids and does not wait for their end.
func (s *Server) Preempt(id string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for _, run := range s.running {
		if id == "all" || id == run.id || id == run.record.TaskID || (id != "" && id == run.record.Name) {
			run.end(preempted)
			ids = append(ids, run.id)
		}
	}
	if len(ids) == 0 && id != "all" {
		return nil, fmt.Errorf("no Sandbox %q runs", id)
	}
	return ids, nil
}

// preemptTick is how often the dice are thrown for each Sandbox.
const preemptTick = 50 * time.Millisecond

func (s *Server) preemptAtRandom() {
	tick := time.NewTicker(preemptTick)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.stopping.Done():
			return
		}
		onlyGPU := s.dice.Now().PreemptOnlyGPU
		s.mu.Lock()
		for _, run := range s.running {
			if onlyGPU && !wantsGPU(run.definition) {
				continue
			}
			if !run.record.Started.IsZero() && s.dice.PreemptWithin(preemptTick) {
				run.end(preempted)
			}
		}
		s.mu.Unlock()
	}
}

// killAll ends all Sandboxes, when the fake itself ends.
func (s *Server) killAll() {
	s.mu.Lock()
	runs := make([]*running, 0, len(s.running))
	for _, run := range s.running {
		runs = append(runs, run)
		run.end(lost)
	}
	s.mu.Unlock()
	for _, run := range runs {
		<-run.ended
	}
}

// endLostSandboxes ends those that an earlier fake had running: they went with it, as with a machine that fails.
func (s *Server) endLostSandboxes() error {
	for _, record := range s.sandboxes.All() {
		if record.finished() {
			continue
		}
		record.Finished, record.Status = time.Now(), s.dice.Now().Preempt
		if err := s.sandboxes.Put(record.ID, record); err != nil {
			return err
		}
	}
	return os.RemoveAll(filepath.Join(s.cfg.State, "running"))
}
