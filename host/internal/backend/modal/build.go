package modal

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/plugin"
	"github.com/mtt-project/mtt/host/internal/run"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
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
	image, err := b.client.image(ctx, b.app, "golang:"+source.Go+"-bookworm", nil)
	if err != nil {
		return nil, b.final(err)
	}
	d := definition{
		name: "build-" + source.SHA256[:32], image: image, cpu: buildCores, memory: buildMemory, limit: buildLimit,
		volumes: []volumeMount{{id: b.volume.id, path: MountPath}},
		command: bootstrap(host, "build-on-modal", "--outputs", MountPath, "--source", archive, "--package", source.Package),
	}
	for _, secret := range secrets {
		id, err := b.client.secret(ctx, b.environment, secret)
		if err != nil {
			return nil, b.final(err)
		}
		d.secrets = append(d.secrets, id)
	}
	sandbox, _, err := b.client.create(ctx, b.app, d)
	if err != nil {
		return nil, b.explain(err)
	}
	// Nobody else would end it.
	defer context.AfterFunc(ctx, func() { _ = b.client.terminate(context.WithoutCancel(ctx), sandbox) })()
	var built *Built
	var lines []string
	b.client.follow(ctx, sandbox, byLine(func(line string) {
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
	result, err := b.client.wait(ctx, sandbox, slice)
	switch {
	case err != nil:
		return nil, b.explain(err)
	case built == nil || result.GetStatus() != pb.GenericResult_GENERIC_STATUS_SUCCESS:
		return nil, exit.Errorf(exit.Usage, "the plugin does not build on Modal:\n%s", strings.Join(lines[max(0, len(lines)-30):], "\n")).
			Hint("A build there has the source alone: private modules have to be vendored, or be reached with a Secret, by --build-secret.")
	}
	return built, nil
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
