package modalfake

import (
	"encoding/json"
	"maps"
	"net/http"
	"sync"
)

// Count is how often a call came, with a stream as one, and how many of these were throttled.
type Count struct {
	All       int `json:"all"`
	Throttled int `json:"throttled"`
}

// counter counts calls by their names.
type counter struct {
	mu    sync.Mutex
	calls map[string]Count
}

func newCounter() *counter { return &counter{calls: make(map[string]Count)} }

func (c *counter) add(name string, throttled bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.calls[name]
	n.All++
	if throttled {
		n.Throttled++
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
