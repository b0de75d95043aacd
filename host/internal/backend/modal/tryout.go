package modal

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/modal/api"
	"github.com/mtt-project/mtt/host/internal/doctor"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

const (
	// tryoutPrefix begins the names of what a tryout makes: a directory of the volume, and a Sandbox. No run's begin so.
	tryoutPrefix = "doctor-"
	// tryoutLimit is how long its Sandbox lives at most, also if nobody is left to end it.
	tryoutLimit = 5 * time.Minute
	// tryoutStep is how long one thing is waited for that the Sandbox does. Its start has all of tryoutLimit: an image may
	// have to be built or fetched.
	tryoutStep = time.Minute
	// tidyTime is what the removal of everything has, also when the tryout was interrupted.
	tidyTime = 30 * time.Second
)

// tryout makes sure of what mtt believes of Modal, as far as one Sandbox without a GPU can show it.
type tryout struct {
	*examiner
	name string // of the directory, and of the Sandbox
}

// try makes what the first run would make, and then tries it.
func (x *examiner) try(ctx context.Context) {
	t := &tryout{x, tryoutPrefix + strings.ToLower(rand.Text()[:10])}
	if !t.make(ctx) {
		return
	}
	defer t.tidy(ctx)
	if t.files(ctx) && t.exclusion(ctx) {
		t.sandbox(ctx)
	}
}

func (t *tryout) make(ctx context.Context) bool {
	var err error
	if t.app == "" {
		t.app, t.environment, err = t.client.FindApp(ctx, appOf(t.Volume), true)
	}
	if err == nil && t.volume == nil {
		if err = t.client.MakeVolume(ctx, t.environment, t.Volume); err == nil {
			t.volume, err = findVolume(ctx, t.client, t.Volume)
		}
	}
	if err == nil && t.volume.remote.Version != 2 {
		err = exit.Errorf(exit.Unavailable, "a volume was asked for with version 2, and is one of version %d", t.volume.remote.Version)
	}
	if err != nil {
		t.problem("try: app and volume", err)
	}
	return err == nil
}

// tidy removes what was made, app and volume excepted.
func (t *tryout) tidy(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
	defer cancel()
	if err := t.volume.Remove(ctx, t.name, true); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.add(doctor.Warning, "try: tidied up", err.Error(), "Remove it: "+t.volumeCommand("rm -r", t.name))
	}
}

// differs is a problem of which a person should tell the authors: Modal is not as mtt believes.
func (t *tryout) differs(name, found, means string) bool {
	t.checks = append(t.checks, doctor.Check{
		Name: "modal: try: " + name, Status: doctor.Problem, Found: found, Code: exit.Unavailable,
		Remedy: "Modal is not as mtt believes: " + means + " Use a newer version of mtt, or report this.",
	})
	return false
}

func (t *tryout) failed(name string, err error) bool {
	t.problem("try: "+name, err)
	return false
}

func (t *tryout) put(ctx context.Context, name string, content []byte, exclusive bool) error {
	return t.volume.Put(ctx, []backend.Source{{
		Path: name, Size: int64(len(content)), Mode: 0o644,
		Open: func() (backend.Content, error) { return small{bytes.NewReader(content)}, nil },
	}}, backend.PutOptions{Exclusive: exclusive})
}

func (t *tryout) get(ctx context.Context, name string) ([]byte, error) {
	entry, err := t.volume.Stat(ctx, name)
	if err != nil {
		return nil, err
	}
	var content bytes.Buffer
	err = t.volume.Read(ctx, entry, 0, entry.Size, &content)
	return content.Bytes(), err
}

// files brings a file to the volume and back.
func (t *tryout) files(ctx context.Context) bool {
	const name = "files"
	// Two blocks, of which almost nothing travels: zeros at the end of a block do not.
	content := make([]byte, blockSize+2)
	copy(content, rand.Text())
	content[blockSize] = 'x'
	path := t.name + "/file"
	if err := t.put(ctx, path, content, true); err != nil {
		return t.failed(name, err)
	}
	got, err := t.get(ctx, path)
	if err != nil {
		return t.failed(name, err)
	}
	if !bytes.Equal(got, content) {
		return t.differs(name, fmt.Sprintf("%d bytes were put, and %d others came back", len(content), len(got)), "files are moved in another way.")
	}
	var part bytes.Buffer
	entry := backend.Entry{Path: path, Type: backend.File, Size: int64(len(content))}
	if err := t.volume.Read(ctx, entry, blockSize-1, 2, &part); err != nil {
		return t.failed(name, err)
	}
	if part.String() != "\x00x" {
		return t.differs(name, "a part of a file is not what the file has there", "files are read in another way.")
	}
	entries, err := t.volume.List(ctx, t.name, true)
	if err != nil {
		return t.failed(name, err)
	}
	if len(entries) != 1 || entries[0].Path != path || entries[0].Size != int64(len(content)) {
		return t.differs(name, fmt.Sprintf("a file was put, and the list has %v", entries), "lists come in another form.")
	}
	if err := t.volume.Remove(ctx, path, false); err != nil {
		return t.failed(name, err)
	}
	if _, err := t.volume.Stat(ctx, path); !errors.Is(err, fs.ErrNotExist) {
		return t.differs(name, fmt.Sprintf("a file that was removed is there still (%v)", err), "what is removed does not go at once.")
	}
	t.ok("try: "+name, "put, got whole and in part, listed, removed")
	return true
}

const (
	rivals = 8
	rounds = 5
)

// exclusion has several create one file at once: only one may. Attempts are claimed so.
func (t *tryout) exclusion(ctx context.Context) bool {
	const name = "exclusive creation"
	for round := range rounds {
		path := fmt.Sprintf("%s/claim-%d", t.name, round)
		errs := make([]error, rivals)
		var group sync.WaitGroup
		for rival := range rivals {
			group.Go(func() { errs[rival] = t.put(ctx, path, fmt.Appendf(nil, "rival %d", rival), true) })
		}
		group.Wait()
		var winners []string
		for rival, err := range errs {
			switch {
			case err == nil:
				winners = append(winners, fmt.Sprintf("rival %d", rival))
			case !errors.Is(err, fs.ErrExist):
				return t.failed(name, err)
			}
		}
		got, err := t.get(ctx, path)
		if err != nil {
			return t.failed(name, err)
		}
		if len(winners) != 1 || string(got) != winners[0] {
			return t.differs(name, fmt.Sprintf("%d at once were told that they had created one file (%s); it has %q", len(winners), strings.Join(winners, ", "), got),
				"two supervisors could claim the same attempt.")
		}
	}
	t.ok("try: "+name, "of %d that create one file at once, one does, %d times", rivals, rounds)
	return true
}

// probeScript is what the Sandbox runs: $1 is the mount, $2 the directory, the rest is the command of a run's Sandboxes.
const probeScript = `set -u
mount=$1 dir=$2
shift 2
echo "sandbox ${MODAL_SANDBOX_ID:-}"
"$@" 2>&1
echo "bootstrap $?"
mkdir -p "$mount/$dir"
echo synced > "$mount/$dir/synced"
sync "$mount"
echo "sync $?"
read -r first
echo "heard $first"
read -r second
echo "heard $second"
exit 3`

// sandbox takes one through its life.
func (t *tryout) sandbox(ctx context.Context) {
	if !t.send(ctx) {
		return
	}
	t.say("starting a Sandbox without a GPU")
	began := time.Now()
	image, err := makeImage(ctx, t.client, t.app, run.DefaultModal().Image, nil)
	if err != nil {
		t.failed("image", err)
		return
	}
	t.ok("try: image", "%s, in %s", run.DefaultModal().Image, time.Since(began).Round(time.Millisecond))
	d := api.Sandbox{
		Name: t.name, Image: image, Limit: tryoutLimit, Mounts: []api.Mount{{VolumeID: t.volume.remote.ID, Path: MountPath}},
		Command: append([]string{"sh", "-c", probeScript, "doctor", MountPath, t.name}, bootstrap(t.host.SHA256, "version")...),
	}
	began = time.Now()
	id := ""
	err = (&Backend{client: t.client}).placed(ctx, &id, t.say, func() (string, error) {
		id, _, err := t.client.CreateSandbox(ctx, t.app, d)
		if errors.Is(err, api.ErrExists) { // the answer to the first try was lost
			id, err = t.client.SandboxNamed(ctx, t.environment, appOf(t.Volume), d.Name)
		}
		return id, err
	})
	if id != "" {
		defer t.end(ctx, id)
	}
	if err != nil {
		t.failed("sandbox", err)
		return
	}
	if !t.clash(ctx, d, id) {
		return
	}
	said := t.listen(ctx, id)
	defer said.cancel()
	t.live(ctx, id, began, said)
}

// send brings mtt-host to the volume, as a run does.
func (t *tryout) send(ctx context.Context) bool {
	b := &Backend{client: t.client, volume: t.volume}
	missing, err := b.Missing(ctx, []Upload{*t.host})
	if err == nil && len(missing) > 0 {
		t.say(fmt.Sprintf("sending %s to volume %s, where runs find it", backend.SizeText(t.host.Size), t.Volume))
		err = b.Send(ctx, missing, nil)
	}
	if err != nil {
		return t.failed("worker on the volume", err)
	}
	return true
}

func (t *tryout) say(text string) {
	if t.Say != nil {
		t.Say(text)
	}
}

// clash asks for another Sandbox of the same name: names are what keeps two attempts from living at once.
func (t *tryout) clash(ctx context.Context, d api.Sandbox, id string) bool {
	const name = "names"
	other, _, err := t.client.CreateSandbox(ctx, t.app, d)
	if err == nil && other != id {
		t.end(ctx, other)
	}
	if !errors.Is(err, api.ErrExists) {
		return t.differs(name, fmt.Sprintf("a second Sandbox of one name is not refused as existing (%s, %v)", other, err), "two attempts of a run could live at once.")
	}
	found, err := t.client.SandboxNamed(ctx, t.environment, appOf(t.Volume), d.Name)
	if err != nil || found != id {
		return t.differs(name, fmt.Sprintf("the Sandbox %s is found by its name as %q (%v)", id, found, err), "a lost answer could not be made good.")
	}
	live, err := t.client.Sandboxes(ctx, t.environment, t.app)
	if err != nil {
		return t.failed(name, err)
	}
	if !slices.ContainsFunc(live, func(info api.SandboxInfo) bool { return info.Name == d.Name }) {
		return t.differs(name, "a Sandbox that lives is not in the list of those that do", "a run that lives would look as if it did not.")
	}
	t.ok("try: "+name, "a second Sandbox of one name is refused, and the first is found by it")
	return true
}

// live follows what the Sandbox prints, and asks for each thing that it should have done.
func (t *tryout) live(ctx context.Context, id string, began time.Time, said *lines) bool {
	// How it ends is told below; a Sandbox that ends before its time says why, if it can.
	if _, ok := said.await(ctx, "sandbox ", tryoutLimit); !ok {
		return t.silent(ctx, "output", id, said)
	}
	t.ok("try: output", "the Sandbox's first line is here %s after it was asked for", time.Since(began).Round(10*time.Millisecond))
	status, ok := said.await(ctx, "bootstrap ", tryoutStep)
	if !ok {
		return t.silent(ctx, "bootstrap", id, said)
	}
	if status != "0" {
		return t.differs("bootstrap", fmt.Sprintf("mtt-host does not start in the Sandbox, exit status %s: %s", status, said.text()),
			"a Sandbox has no sh, cp, sha256sum or HOME, or does not see the volume.")
	}
	t.ok("try: bootstrap", "mtt-host is found on the volume, and its digest is right")
	if status, ok = said.await(ctx, "sync ", tryoutStep); !ok {
		return t.silent(ctx, "sync", id, said)
	}
	if !t.synced(ctx, id, status) {
		return false
	}
	// The first piece comes twice, as after an answer that was lost.
	for _, piece := range []struct {
		n    uint32
		line string
	}{{1, "one\n"}, {1, "one\n"}, {2, "two\n"}} {
		if err := t.client.WriteStdin(ctx, id, piece.n, piece.line); err != nil {
			return t.failed("stdin", err)
		}
	}
	first, _ := said.await(ctx, "heard ", tryoutStep)
	second, _ := said.await(ctx, "heard ", tryoutStep)
	if first != "one" || second != "two" {
		return t.differs("stdin", fmt.Sprintf("one, one again and two were written; it read %q and %q", first, second), "a worker could not be asked to stop.")
	}
	t.ok("try: stdin", "what is written arrives, once")
	return t.ended(ctx, id)
}

// synced looks whether what was synced is on the volume while the Sandbox lives.
func (t *tryout) synced(ctx context.Context, id, status string) bool {
	const name = "sync"
	const means = "a checkpoint would not be safe when it is acknowledged."
	if status != "0" {
		return t.differs(name, "a sync of the mount point fails, exit status "+status, means)
	}
	began := time.Now()
	late := false
	for tried := 0; ; tried++ {
		got, err := t.get(ctx, t.name+"/synced")
		if err == nil && string(got) == "synced\n" {
			break
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, backend.ErrChanged) {
			return t.failed(name, err)
		}
		if time.Since(began) > tryoutStep {
			return t.differs(name, fmt.Sprintf("what was written and synced is not on the volume %s later", tryoutStep), means)
		}
		if err := api.Pause(ctx, tried); err != nil {
			return t.failed(name, err)
		}
		late = true
	}
	result, err := t.client.WaitSandbox(ctx, id, 0)
	if err != nil {
		return t.failed(name, err)
	}
	if result != nil {
		return t.differs(name, "the Sandbox has ended before it was told to: "+result.Status.String(), means)
	}
	if late {
		t.add(doctor.Warning, "try: "+name, "what was synced was not on the volume at once, but "+time.Since(began).Round(10*time.Millisecond).String()+" later",
			"A kill in between could cost an acknowledged checkpoint. Report this.")
		return true
	}
	t.ok("try: "+name, "what is written and synced is on the volume while the Sandbox lives")
	return true
}

// ended looks at what Modal says of a Sandbox whose program has failed.
func (t *tryout) ended(ctx context.Context, id string) bool {
	const name = "exit status"
	result, err := t.client.WaitSandbox(ctx, id, slice)
	if err != nil {
		return t.failed(name, err)
	}
	switch {
	case result == nil:
		return t.differs(name, fmt.Sprintf("the Sandbox is said to live still, %s after its program has ended", slice), "the end of an attempt would not be seen.")
	case result.Status != api.Failure || result.ExitCode != int(exit.TrainFailed):
		return t.differs(name, fmt.Sprintf("a program that exits with %d is %s with exit code %d", exit.TrainFailed, result.Status, result.ExitCode),
			"the failure of an experiment would be taken for that of a machine.")
	}
	t.ok("try: "+name, "a program that exits with %d is FAILURE with that exit code", exit.TrainFailed)
	return true
}

// silent says why what a Sandbox should print has not come.
func (t *tryout) silent(ctx context.Context, name, id string, said *lines) bool {
	if ctx.Err() != nil {
		return t.failed(name, context.Cause(ctx))
	}
	result, err := t.client.WaitSandbox(ctx, id, 0)
	if err != nil {
		return t.failed(name, err)
	}
	state := "lives"
	if result != nil {
		state = fmt.Sprintf("has ended: %s, exit code %d %s", result.Status, result.ExitCode, result.Exception)
	}
	return t.differs(name, fmt.Sprintf("what the Sandbox prints has not come; it %s. It printed: %q", state, said.text()), "a Sandbox does not start, or its output is not to be had.")
}

func (t *tryout) end(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
	defer cancel()
	if err := t.client.TerminateSandbox(ctx, id); err != nil {
		t.add(doctor.Warning, "try: tidied up", "Sandbox "+id+" may live still: "+err.Error(), "It ends by itself within "+tryoutLimit.String()+".")
	}
}

// lines are what a Sandbox prints to its stdout.
type lines struct {
	cancel context.CancelFunc
	come   chan string

	mu  sync.Mutex
	all []string
}

func (t *tryout) listen(ctx context.Context, id string) *lines {
	ctx, cancel := context.WithCancel(ctx)
	l := &lines{cancel: cancel, come: make(chan string)}
	go func() {
		defer close(l.come)
		t.client.FollowSandbox(ctx, id, byLine(func(line string) {
			l.mu.Lock()
			l.all = append(l.all, line)
			l.mu.Unlock()
			select {
			case l.come <- line:
			case <-ctx.Done():
			}
		}))
	}()
	return l
}

// await waits for a line that begins so, and returns the rest of it.
func (l *lines) await(ctx context.Context, prefix string, atMost time.Duration) (rest string, ok bool) {
	late := time.After(atMost)
	for {
		select {
		case line, open := <-l.come:
			if !open {
				return "", false
			}
			if rest, ok := strings.CutPrefix(line, prefix); ok {
				return rest, true
			}
		case <-late:
			return "", false
		case <-ctx.Done():
			return "", false
		}
	}
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "\n")
}
