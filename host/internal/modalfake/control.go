package modalfake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// control is how the subcommands find a running fake: a file in its state, for the same user alone.
type control struct {
	URL    string `json:"url"`
	Secret string `json:"secret"`
}

func controlPath(state string) string { return filepath.Join(state, "control.json") }

func (s *Server) writeControl() error {
	s.mu.Lock()
	secret := s.auth.sign("control")
	s.mu.Unlock()
	raw, err := json.Marshal(control{URL: "http://" + s.webAddr, Secret: secret})
	if err != nil {
		return err
	}
	return publish(controlPath(s.cfg.State), raw)
}

func (s *Server) removeControl() error {
	err := os.Remove(controlPath(s.cfg.State))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (s *Server) webHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /block/{sum}", s.serveBlock)
	mux.HandleFunc("PUT /block/{sum}", s.serveBlock)
	mux.HandleFunc("POST /control", s.forOwner(s.serveControl))
	mux.HandleFunc("GET /calls", s.forOwner(s.serveCalls))
	return mux
}

// forOwner refuses who does not know the secret.
func (s *Server) forOwner(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		known := s.auth.signed("control", r.Header.Get("Authorization"))
		s.mu.Unlock()
		if !known {
			http.Error(w, "the secret is that of control.json in the state directory", http.StatusUnauthorized)
			return
		}
		serve(w, r)
	}
}

// Order is what a running fake is asked to do. All of it is done or, with an error, that before it and nothing behind.
type Order struct {
	Set     []Assignment `json:"set,omitempty"`
	Preempt []string     `json:"preempt,omitempty"`
	// Rotate makes void what was given out: "auth-tokens", with the addresses of blocks, or "credentials", which also
	// writes the env file again.
	Rotate string `json:"rotate,omitempty"`
}

// Assignment is a setting and its new value.
type Assignment struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Do carries out an order.
func (s *Server) Do(o Order) error {
	for _, a := range o.Set {
		if err := s.dice.Set(a.Name, a.Value); err != nil {
			return err
		}
		s.log.Info("set", "name", a.Name, "value", a.Value)
	}
	for _, id := range o.Preempt {
		ids, err := s.Preempt(id)
		if err != nil {
			return err
		}
		s.log.Info("preempt", "sandboxes", ids)
	}
	return s.rotate(o.Rotate)
}

func (s *Server) rotate(what string) error {
	s.mu.Lock()
	var err error
	switch what {
	case "":
		s.mu.Unlock()
		return nil
	case "auth-tokens":
		err = s.auth.rotateKey()
	case "credentials":
		err = s.auth.rotate()
	default:
		err = fmt.Errorf("rotate auth-tokens or credentials, not %q", what)
	}
	s.mu.Unlock()
	return errors.Join(err, s.writeControl(), s.writeEnvFile())
}

func (s *Server) serveControl(w http.ResponseWriter, r *http.Request) {
	var o Order
	err := json.NewDecoder(r.Body).Decode(&o)
	if err == nil {
		err = s.Do(o)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s.dice.List())
}

// Tell gives an order to the fake that runs on a state, and returns its settings.
func Tell(state string, o Order) ([]byte, error) {
	body, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	return ask(state, http.MethodPost, "/control", body)
}

// ask makes a request to the fake that runs on a state.
func ask(state, method, path string, body []byte) ([]byte, error) {
	raw, err := os.ReadFile(controlPath(state))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no modal-fake runs with --state %s", state)
	}
	if err != nil {
		return nil, err
	}
	var c control
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, err
	}
	request, err := http.NewRequest(method, c.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", c.Secret)
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{}} // no proxy
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("modal-fake with --state %s does not answer: %w", state, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(string(bytes.TrimSpace(answer)))
	}
	return answer, err
}
