package modalfake_test

import (
	"testing"

	"github.com/mtt-project/mtt/host/internal/modalfake/faketest"
)

// Modal's Python client drives a Sandbox by the calls that modal-go makes too, which it does where it is told not to use
// its newer ones.
func TestModalsPythonClientRunsASandbox(t *testing.T) {
	f := faketest.Start(t)
	got := f.Python(t, `
import modal
app = modal.App.lookup("app", create_if_missing=True)
volume = modal.Volume.from_name("vol", create_if_missing=True, version=2)
secret = modal.Secret.from_dict({"WHO": "you"})
sandbox = modal.Sandbox.create("sh", "-c", "read word; echo $word $WHO; echo x >/outputs/x; sync /outputs; exit 4",
    app=app, image=modal.Image.debian_slim(), volumes={"/outputs": volume}, secrets=[secret], timeout=60)
sandbox.stdin.write("hello\n")
sandbox.stdin.write_eof()
sandbox.stdin.drain()
sandbox.wait()
print(sandbox.stdout.read(), end="")
print(sandbox.returncode)
print([entry.path for entry in volume.listdir("/")])
`)
	if want := "hello you\n4\n['x']\n"; got != want {
		t.Errorf("the client says %q, want %q", got, want)
	}
}
