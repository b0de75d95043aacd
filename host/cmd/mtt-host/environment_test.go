package main_test

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestPluginGetsNoCredential also holds that nothing else of the host's environment reaches the plugin, but for what
// is on the allow-list and what --env-var names.
func TestPluginGetsNoCredential(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	allowed := []string{
		"LANG=C.UTF-8", "LC_ALL=C.UTF-8", "TZ=UTC", "LD_LIBRARY_PATH=/nowhere",
		"CUDA_VISIBLE_DEVICES=3", "NVIDIA_VISIBLE_DEVICES=all", "XLA_FLAGS=--some", "GOMLX_BACKEND=go", "PJRT_PLUGIN=none",
	}
	b.env = append([]string{
		"MODAL_TOKEN_ID=secret-1", "MODAL_TOKEN_SECRET=secret-2", "MODAL_X=secret-3", "AWS_SECRET_ACCESS_KEY=secret-4",
		"GITHUB_TOKEN=secret-5", "SSH_AUTH_SOCK=secret-6", "MTT_SECRET=secret-7", "NOTMODAL_X=secret-8",
		"PLUGIN_SECRET=secret-9", "XLAFLAGS=secret-10", "LCALL=secret-11",
	}, allowed...)
	b.expect(0, nil, "run", pluginPath("faulty"), "--name", "environment",
		"--env-var", "FAULTY=environment", "--env-var", "DATA_KEY=asked=for", "--env-var", "LANG=en_GB.UTF-8")

	raw, err := os.ReadFile(b.path("files", "environment", "environment.txt"))
	if err != nil {
		b.Fatal(err)
	}
	environment := strings.Split(string(raw), "\n")
	for _, variable := range slices.Concat(allowed[1:], []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "FAULTY=environment", "DATA_KEY=asked=for", "LANG=en_GB.UTF-8",
	}) {
		if !slices.Contains(environment, variable) {
			b.Errorf("the plugin did not get %s", variable)
		}
	}
	known := []string{
		"PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "XLA_FLAGS", "GOMLX_BACKEND", "PJRT_PLUGIN", // allowed
		"FAULTY", "DATA_KEY", // named
		"TMPDIR", "MTT_PLUGIN", "MTT_HOST_PID", "MTT_LOCK_FD", "GOMLX_NO_AUTO_INSTALL", // mtt's own
		"PLUGIN_MIN_PORT", "PLUGIN_MAX_PORT", "PLUGIN_PROTOCOL_VERSIONS", "PLUGIN_UNIX_SOCKET_DIR", "PLUGIN_CLIENT_CERT", "PLUGIN_MULTIPLEX_GRPC", // go-plugin's own
	}
	for _, variable := range environment {
		if name, _, _ := strings.Cut(variable, "="); !slices.Contains(known, name) || strings.Contains(variable, "secret-") {
			b.Errorf("the plugin got %s", variable)
		}
	}
	if strings.Contains(string(raw), b.tmp+"\n") {
		b.Error("the plugin's TMPDIR is that of the host, where it would leave what it makes")
	}
}
