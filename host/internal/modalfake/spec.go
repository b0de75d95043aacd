package modalfake

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mtt-project/mtt/host/internal/modalfake/sandbox"
	"github.com/mtt-project/mtt/host/internal/modalfake/volume"
)

// spec makes what the process needs.
func (r *running) spec() (sandbox.Spec, error) {
	s, d := r.server, r.definition
	spec := sandbox.Spec{ID: r.id, Dir: r.dir(), Args: d.GetEntrypointArgs(), Output: r.print, Synced: r.synced, Free: r.free, DiskFull: s.dice.DiskFull()}
	if len(spec.Args) == 0 {
		spec.Args = []string{"sleep", "infinity"} // what Modal's documentation says of a Sandbox without a command
	}
	home := filepath.Join(spec.Dir, "home")
	for _, dir := range []string{home, filepath.Join(spec.Dir, "root")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return spec, err
		}
	}
	s.mu.Lock()
	env, workdir := s.imageEnv(d.GetImageId())
	env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "LANG=C.UTF-8", "MODAL_TASK_ID=" + r.record.TaskID}, env...)
	for _, id := range d.GetSecretIds() {
		if secret := s.secrets.Get(id); secret != nil {
			for name, value := range secret.Env {
				env = append(env, name+"="+value)
			}
		}
	}
	var files []mountFile
	for _, id := range d.GetMountIds() {
		if m := s.mounts.Get(id); m != nil {
			files = append(files, m.Files...)
		}
	}
	trees := make(map[string]*volumeRecord)
	for _, m := range d.GetVolumeMounts() {
		trees[m.GetVolumeId()] = s.volumes.Get(m.GetVolumeId())
	}
	s.mu.Unlock()

	spec.Env, spec.Workdir = env, workdir
	if d.GetWorkdir() != "" {
		spec.Workdir = d.GetWorkdir()
	}
	if spec.Workdir == "" {
		spec.Workdir = home
	}
	for i, m := range d.GetVolumeMounts() {
		record := trees[m.GetVolumeId()]
		if record == nil {
			return spec, fmt.Errorf("the volume %s is gone", m.GetVolumeId())
		}
		dir := filepath.Join(spec.Dir, "volumes", fmt.Sprint(i))
		working, err := volume.Fill(dir, s.content, record.Tree)
		if err != nil {
			return spec, err
		}
		r.volumes = append(r.volumes, &mounted{path: m.GetMountPath(), id: record.ID, version: record.Version, readOnly: m.GetReadOnly(), copy: working})
		spec.Mounts = append(spec.Mounts, sandbox.Mount{Path: m.GetMountPath(), Source: dir, ReadOnly: m.GetReadOnly()})
	}
	for i, file := range files {
		source := filepath.Join(spec.Dir, "files", fmt.Sprint(i), filepath.Base(file.Path))
		if err := r.copyFile(file, source); err != nil {
			return spec, err
		}
		spec.Mounts = append(spec.Mounts, sandbox.Mount{Path: "/" + strings.TrimPrefix(file.Path, "/"), Source: source, ReadOnly: true})
	}
	return spec, sandbox.Check(spec.Mounts)
}

// free is what statfs(2) has for a volume's mount.
func (r *running) free(m sandbox.Mount) (bytes uint64, ok bool) {
	free := r.server.dice.Now().MountFree
	isVolume := slices.ContainsFunc(r.volumes, func(v *mounted) bool { return v.path == m.Path })
	return uint64(free), isVolume && free >= 0
}

func (r *running) copyFile(file mountFile, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	raw, err := r.server.content.Get(file.Sum)
	if err != nil {
		return err
	}
	mode := os.FileMode(file.Mode & 0o777)
	if mode == 0 {
		mode = 0o644
	}
	return os.WriteFile(to, raw, mode)
}
