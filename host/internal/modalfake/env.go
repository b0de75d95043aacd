package modalfake

import (
	"os"
	"path/filepath"
	"strings"
)

// Environ is what a client's environment must have to find the fake, and nothing else: an empty configuration file
// keeps it from the real account of whoever runs it, and proxies have no business on the loopback interface.
func (s *Server) Environ() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return []string{
		"MODAL_SERVER_URL=" + s.URL(),
		"MODAL_TOKEN_ID=" + s.auth.TokenID,
		"MODAL_TOKEN_SECRET=" + s.auth.TokenSecret,
		"MODAL_ENVIRONMENT=" + defaultEnvironment,
		"MODAL_CONFIG_PATH=" + filepath.Join(s.cfg.State, "modal.toml"),
		"MODAL_DISABLE_API_PROXY=1",
	}
}

// writeEnvFile writes the environment for a shell to source.
func (s *Server) writeEnvFile() error {
	if err := os.WriteFile(filepath.Join(s.cfg.State, "modal.toml"), nil, 0o600); err != nil {
		return err
	}
	if s.cfg.EnvFile == "" {
		return nil
	}
	var text strings.Builder
	for _, line := range s.Environ() {
		name, value, _ := strings.Cut(line, "=")
		text.WriteString("export " + name + "='" + strings.ReplaceAll(value, "'", `'\''`) + "'\n")
	}
	return publish(s.cfg.EnvFile, []byte(text.String()))
}
