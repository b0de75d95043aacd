package modal

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/modal/api"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/plugin"
	"github.com/mtt-project/mtt/host/internal/run"
)

// Built is what a build in a Sandbox prints as its last line.
type Built struct {
	Schema      string          `json:"schema"` // mtt.build/v1
	SHA256      string          `json:"sha256"`
	Needs       run.Needs       `json:"needs"`
	Description json.RawMessage `json:"description"`
}

// BuiltSchema is that of Built.
const BuiltSchema = "mtt.build/v1"

const (
	buildLimit  = time.Hour
	buildCores  = 4
	buildMemory = 8 << 10 // MiB
	// decided is how long is waited for whether the Sandbox of a build is there, and that it is gone, when nobody wants it
	// any more: a command that does not end is worse than a Sandbox that ends within buildLimit.
	decided = 30 * time.Second
)

// Build builds a plugin from its source in a Sandbox without a GPU, which leaves the executable on the volume. host is the
// mtt-host that is to do so, by its digest, and secrets are what the go command may need for private modules. said gets
// what the build prints.
func (b *Backend) Build(ctx context.Context, source *plugin.Archive, host string, secrets []run.Secret, said func(line string)) (*Built, error) {
	archive := "src/" + source.SHA256 + ".tar"
	err := b.volume.Put(ctx, []backend.Source{{
		Path: archive, Size: int64(len(source.Raw)), Mode: 0o644,
		Open: func() (backend.Content, error) { return small{bytes.NewReader(source.Raw)}, nil },
	}}, backend.PutOptions{})
	if err != nil {
		return nil, err
	}
	image, err := makeImage(ctx, b.client, b.app, BuildImage(source), nil)
	if err != nil {
		return nil, decidable(err)
	}
	d := api.Sandbox{
		Name: buildPrefix + strings.ToLower(rand.Text()), Image: image, CPU: buildCores, MemoryMiB: buildMemory, Limit: buildLimit,
		Mounts:  []api.Mount{{VolumeID: b.volume.remote.ID, Path: MountPath}},
		Command: bootstrap(host, "build-on-modal", "--outputs", MountPath, "--source", archive, "--package", source.Package),
	}
	for _, secret := range secrets {
		id, err := findSecret(ctx, b.client, b.environment, secret)
		if err != nil {
			return nil, decidable(err)
		}
		d.Secrets = append(d.Secrets, id)
	}
	sandbox, ended := "", false
	defer func() { // nobody else would end it
		if sandbox != "" && !ended {
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), decided)
			defer cancel()
			_ = b.client.TerminateSandbox(ending, sandbox)
		}
	}()
	err = b.placed(ctx, &sandbox, said, func() (string, error) { return b.createBuild(ctx, d) })
	if err != nil {
		return nil, api.Explain(err)
	}
	var built *Built
	var lines []string
	b.client.FollowSandbox(ctx, sandbox, byLine(func(line string) {
		var last Built
		if json.Unmarshal([]byte(line), &last) == nil && last.Schema == BuiltSchema {
			built = &last
			return
		}
		lines = append(lines, line)
		said(line)
	}))
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	result, err := b.client.WaitSandbox(ctx, sandbox, slice)
	ended = err == nil && result != nil
	switch {
	case err != nil:
		return nil, api.Explain(err)
	case built == nil || result == nil || result.Status != api.Success:
		return nil, exit.Errorf(exit.Usage, "the plugin does not build on Modal:\n%s", strings.Join(lines[max(0, len(lines)-30):], "\n")).
			Hint("A build there has the source alone: private modules have to be vendored, or be reached with a Secret, by --build-secret.")
	}
	return built, nil
}

// BuildImage is the image that source is built in, which has a C compiler.
func BuildImage(source *plugin.Archive) string { return "golang:" + source.Go + "-bookworm" }

// createBuild makes the Sandbox of a build, whose name no other has: one that is there already is the one that a lost answer
// was about. It waits for what comes of the call also when nobody wants the build any more: else there could be a Sandbox
// that nobody knows of.
func (b *Backend) createBuild(ctx context.Context, d api.Sandbox) (id string, err error) {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), decided,
		exit.Errorf(exit.Unavailable, "Modal has made no Sandbox for the build within %s", decided).Hint("Look at https://status.modal.com, and repeat the command."))
	defer cancel()
	for again := 0; ; again++ {
		id, _, err := b.client.CreateSandbox(ctx, b.app, d)
		if !errors.Is(err, api.ErrExists) {
			return id, err
		}
		id, err = b.client.SandboxNamed(ctx, b.environment, appOf(b.volume.name), d.Name)
		if id == "" && err == nil { // it has ended already, and its name is about to be free
			err = api.Pause(ctx, again)
		}
		if id != "" || err != nil {
			return id, err
		}
	}
}

// placed makes a Sandbox and waits until it has a machine. One that has ended without is replaced, which is said: it has done
// nothing. id is that of the newest, which after an error may be there still.
func (b *Backend) placed(ctx context.Context, id *string, said func(line string), create func() (string, error)) error {
	for again := 0; ; again++ {
		made, err := create()
		if err != nil {
			return err
		}
		if *id = made; made != "" {
			placement, err := b.placement(ctx, made, nil)
			if err != nil || placement != api.Unplaced {
				return err
			}
			*id = ""
			said("Modal found no machine for the Sandbox and ended it: another is made")
		}
		if err := api.Pause(ctx, again); err != nil {
			return err
		}
	}
}

// byLine cuts what comes in pieces into lines.
func byLine(each func(line string)) func(data string) {
	partial := ""
	return func(data string) {
		partial += data
		for {
			line, rest, complete := strings.Cut(partial, "\n")
			if !complete {
				return
			}
			each(line)
			partial = rest
		}
	}
}
