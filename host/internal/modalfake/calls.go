package modalfake

import (
	"encoding/json"
	"maps"
	"net/http"
	"sync"

	"github.com/mtt-project/mtt/host/internal/modalfake/faults"
)

// Count is how often a call came, with a stream as one, and how many of these were throttled or met the billing limit.
type Count struct {
	All       int `json:"all"`
	Throttled int `json:"throttled"`
	Billed    int `json:"billed"`
}

// counter counts calls by their names.
type counter struct {
	mu    sync.Mutex
	calls map[string]Count
}

func newCounter() *counter { return &counter{calls: make(map[string]Count)} }

// add counts a call, and with what it was refused; nil each if it was not.
func (c *counter) add(name string, throttled, billed *faults.Throttling) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.calls[name]
	n.All++
	if throttled != nil {
		n.Throttled++
	}
	if billed != nil {
		n.Billed++
	}
	c.calls[name] = n
}

func (c *counter) now() map[string]Count {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.calls)
}

func (s *Server) serveCalls(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s.calls.now())
}

// CallsOf returns how often each call, and each kind of request for a block, has come to the fake that runs on a state,
// since it was started.
func CallsOf(state string) (map[string]Count, error) {
	raw, err := ask(state, http.MethodGet, "/calls", nil)
	if err != nil {
		return nil, err
	}
	var calls map[string]Count
	return calls, json.Unmarshal(raw, &calls)
}
