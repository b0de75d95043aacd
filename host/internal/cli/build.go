package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/modal"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/launch"
	"github.com/mtt-project/mtt/host/internal/plugin"
	"github.com/mtt-project/mtt/host/internal/run"
	"github.com/mtt-project/mtt/host/internal/scratch"
)

// pack makes the archive of the source that is to be built elsewhere.
func pack(ctx context.Context, name string) (plugin.Source, *plugin.Archive, error) {
	source, err := plugin.Find(name)
	if err == nil && !source.Directory {
		err = exit.Errorf(exit.Usage, "--build %s: want a directory with a Go main package", name)
	}
	if err != nil {
		return source, nil, err
	}
	archive, err := plugin.Pack(ctx, source.Path)
	return source, archive, err
}

// planBuild is what a build on Modal would be of. A build here says what the plugin is; that one would have another digest.
func (p place) planBuild(ctx context.Context, name string, options run.Options) (*plugin.Archive, run.Plugin, *plugin.Description, error) {
	source, archive, err := pack(ctx, name)
	if err != nil {
		return nil, run.Plugin{}, nil, err
	}
	bin, err := p.bin()
	if err != nil {
		return nil, run.Plugin{}, nil, err
	}
	executable, err := plugin.Install(ctx, source, bin)
	if err != nil {
		return nil, run.Plugin{}, nil, err
	}
	environment, err := options.Environment(os.LookupEnv)
	if err != nil {
		return nil, run.Plugin{}, nil, err
	}
	description, err := plugin.Describe(ctx, executable, environment, time.Duration(options.StartTimeout))
	return archive, run.Plugin{Path: source.Path}, description, err
}

// buildOnModal has a plugin built from source in a Sandbox, for a run there.
func (p place) buildOnModal(ctx context.Context, view *view, name string, secrets []run.Secret) (run.Plugin, *plugin.Description, error) {
	source, archive, err := pack(ctx, name)
	if err != nil {
		return run.Plugin{}, nil, err
	}
	on, err := p.on()
	if err != nil {
		return run.Plugin{}, nil, err
	}
	host, err := p.host()
	if err != nil {
		return run.Plugin{}, nil, err
	}
	elsewhere := on.(*modal.Backend)
	view.say(fmt.Sprintf("sending %s of source, to be built in a Sandbox with %s", backend.SizeText(int64(len(archive.Raw))), modal.BuildImage(archive)))
	if err := p.upload(ctx, view, elsewhere, []modal.Upload{host}); err != nil {
		return run.Plugin{}, nil, err
	}
	built, err := elsewhere.Build(ctx, archive, host.SHA256, secrets, func(line string) { view.say("build: " + line) })
	if err != nil {
		return run.Plugin{}, nil, err
	}
	description, err := plugin.ReadDescription(built.Description)
	if err != nil {
		return run.Plugin{}, nil, err
	}
	code := run.Plugin{SHA256: built.SHA256, Path: source.Path, Needs: built.Needs}
	code.Commit, code.Diff = launch.SourceState(ctx, source.Path)
	return code, description, nil
}

// newBuildOnModal is the command that the Sandbox of a build runs.
func newBuildOnModal() *cobra.Command {
	var outputs, source, within string
	command := &cobra.Command{
		Use:    "build-on-modal",
		Short:  "Build a plugin from its source",
		Hidden: true,
		Args:   exactly(0),
		RunE: func(command *cobra.Command, _ []string) error {
			dir, err := scratch.New()
			if err != nil {
				return err
			}
			defer dir.Close()
			built, err := buildHere(command.Context(), dir.Path, filepath.Join(outputs, source), within)
			if err != nil {
				fmt.Fprintln(command.OutOrStdout(), err) // which whoever waits for the build reads
				return err
			}
			executable := filepath.Join(outputs, "bin", built.SHA256)
			if err := keepExecutable(filepath.Join(dir.Path, "bin", built.SHA256), executable); err != nil {
				return err
			}
			if err := syncMount(outputs); err != nil {
				return err
			}
			return json.NewEncoder(command.OutOrStdout()).Encode(built)
		},
	}
	flags := command.Flags()
	flags.StringVar(&outputs, "outputs", "", "where the volume is mounted")
	flags.StringVar(&source, "source", "", "archive on the volume")
	flags.StringVar(&within, "package", ".", "directory of the main package in it")
	return command
}

func buildHere(ctx context.Context, dir, archive, within string) (*modal.Built, error) {
	code, bin := filepath.Join(dir, "src"), filepath.Join(dir, "bin")
	if err := errors.Join(os.Mkdir(code, 0o700), os.Mkdir(bin, 0o700)); err != nil {
		return nil, err
	}
	file, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := plugin.Unpack(file, code); err != nil {
		return nil, err
	}
	executable, err := plugin.Install(ctx, plugin.Source{Path: filepath.Join(code, within), Directory: true}, bin)
	if err != nil {
		return nil, err
	}
	needs, err := plugin.Inspect(executable.Path)
	if err != nil {
		return nil, err
	}
	description, err := plugin.Describe(ctx, executable, nil, time.Minute)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(description)
	return &modal.Built{Schema: modal.BuiltSchema, SHA256: executable.SHA256, Needs: needs, Description: raw}, err
}

// keepExecutable copies an executable to the volume, where it appears whole.
func keepExecutable(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	if err = errors.Join(err, target.Sync(), target.Close()); err != nil {
		return err
	}
	return os.Rename(to+".tmp", to)
}
