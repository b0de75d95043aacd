package modal

import (
	"cmp"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/backend/modal/api"
	"github.com/mtt-project/mtt/host/internal/doctor"
	"github.com/mtt-project/mtt/host/internal/exit"
)

// Examination is what Examine looks at.
type Examination struct {
	Environment string // "": the profile's
	Volume      string
	// Host finds the mtt-host that lives runs on Modal.
	Host func() (Upload, error)
	// Try also writes, and starts a Sandbox: see tryout.
	Try bool
	// Say is told what takes a while, and Patience is that of api.Options.
	Say      func(string)
	Patience time.Duration
}

// Examine looks at what runs need of Modal. Without Try it only reads. It ends at the first problem that nothing can be
// asked behind, such as credentials that are refused.
func Examine(ctx context.Context, e Examination) []doctor.Check {
	x := &examiner{Examination: e}
	x.examine(ctx)
	return x.checks
}

type examiner struct {
	Examination
	checks []doctor.Check

	client      *api.Client
	environment string
	app         string // id; "" where there is none
	volume      *Volume
	host        *Upload
}

func (x *examiner) add(status doctor.Status, name, found, remedy string) {
	x.checks = append(x.checks, doctor.Check{Name: "modal: " + name, Status: status, Found: found, Remedy: remedy})
}

func (x *examiner) ok(name, format string, args ...any) {
	x.add(doctor.OK, name, fmt.Sprintf(format, args...), "")
}

// problem adds an error, with what it says is to be done.
func (x *examiner) problem(name string, err error) {
	err = api.Explain(err)
	check := doctor.Check{Name: "modal: " + name, Status: doctor.Problem, Found: err.Error(), Code: exit.Of(err)}
	if known, ok := errors.AsType[*exit.Error](err); ok {
		check.Remedy = known.Next
	}
	x.checks = append(x.checks, check)
}

func (x *examiner) examine(ctx context.Context) {
	x.worker()
	if err := checkRuns(x.Volume); err != nil {
		x.problem("volume", err)
		return
	}
	if !x.connect(ctx) {
		return
	}
	defer x.client.Close()
	if !x.findEnvironment(ctx) {
		return
	}
	x.calls(ctx)
	if !x.findApp(ctx) {
		return
	}
	x.findVolume(ctx)
	x.contents(ctx)
	x.secret(ctx)
	x.add(doctor.Note, "plan", "the smallest one allows 10 GPUs, 100 containers and about 5 new Sandboxes a second, and keeps logs for a day (2026); Modal does not tell which one this is",
		"See what yours allows: https://modal.com/settings/plans")
	if !x.Try || ctx.Err() != nil {
		return
	}
	if doctor.Code(x.checks) != exit.OK {
		x.add(doctor.Note, "try", "nothing was tried: first the problems above", "")
		return
	}
	x.try(ctx)
}

// worker looks at the mtt-host that Sandboxes run.
func (x *examiner) worker() {
	const name = "worker"
	host, err := x.Host()
	if err != nil {
		x.problem(name, err)
		return
	}
	x.host = &host
	file, err := elf.Open(host.Path)
	if err == nil && (file.Machine != elf.EM_X86_64 || file.OSABI != elf.ELFOSABI_NONE && file.OSABI != elf.ELFOSABI_LINUX) {
		err = fmt.Errorf("it is for %s", file.Machine)
	}
	if err != nil {
		x.add(doctor.Problem, name, fmt.Sprintf("%s is no program for linux/amd64: %v", host.Path, err), "Build it: make build")
		return
	}
	defer file.Close()
	for _, part := range file.Progs {
		if part.Type == elf.PT_INTERP {
			x.add(doctor.Warning, name, host.Path+" is linked dynamically, and need not start in every image", "Build it with CGO_ENABLED=0, as make build does.")
			return
		}
	}
	x.ok(name, "%s, %s, linux/amd64", host.Path, backend.SizeText(host.Size))
}

// connect looks for credentials, and for Modal.
func (x *examiner) connect(ctx context.Context) bool {
	began := time.Now()
	client, err := Options{Environment: x.Environment, Patience: x.Patience, Say: x.Say}.connect(ctx)
	switch {
	case exit.Of(err) == exit.Usage:
		x.problem("environment", err)
		return false
	case exit.Of(err) == exit.Credentials:
		x.problem("credentials", err)
		return false
	case err != nil:
		x.problem("connection", err)
		return false
	}
	x.client = client
	x.ok("credentials", "accepted, from %s%s", credentialsFrom(), x.workspace(ctx))
	x.ok("connection", "%s answers in %s", cmp.Or(os.Getenv("MODAL_SERVER_URL"), "Modal"), time.Since(began).Round(time.Millisecond))
	return true
}

// credentialsFrom is where modal-go has credentials from: variables come first.
func credentialsFrom() string {
	if os.Getenv("MODAL_TOKEN_ID") != "" {
		return "MODAL_TOKEN_ID"
	}
	path := os.Getenv("MODAL_CONFIG_PATH")
	if home, err := os.UserHomeDir(); path == "" && err == nil {
		path = filepath.Join(home, ".modal.toml")
	}
	if profile := os.Getenv("MODAL_PROFILE"); profile != "" {
		return path + ", profile " + profile
	}
	return path
}

// workspace says whose credentials they are, where Modal tells.
func (x *examiner) workspace(ctx context.Context) string {
	if name := x.client.Workspace(ctx); name != "" {
		return "; workspace " + name
	}
	return ""
}

// findEnvironment looks which environment is meant, and whether there is one of that name.
func (x *examiner) findEnvironment(ctx context.Context) bool {
	const name = "environment"
	environments, err := x.client.Environments(ctx)
	if exit.Of(err) == exit.Credentials {
		x.problem("credentials", err)
		return false
	}
	if err != nil { // nothing but this check needs the call
		x.add(doctor.Warning, name, "it cannot be seen which there are: "+err.Error(), "")
		return true
	}
	// As modal-go chooses: what is asked for, or the profile's, or the workspace's own. Which that is, it tells at a look-up.
	wanted := cmp.Or(x.Environment, os.Getenv("MODAL_ENVIRONMENT"))
	if wanted == "" {
		_, wanted, _ = x.client.FindApp(ctx, appOf(x.Volume), false)
	}
	var names []string
	for _, item := range environments {
		names = append(names, item.Name)
		if wanted == "" && item.Default {
			x.ok(name, "%s, the workspace's default", item.Name)
			return true
		}
		if item.Name == wanted {
			x.ok(name, "%s", wanted)
			return true
		}
	}
	if wanted == "" {
		x.ok(name, "the workspace's default")
		return true
	}
	slices.Sort(names)
	x.add(doctor.Problem, name, fmt.Sprintf("there is no environment %s; there are: %s", wanted, exit.Few(names, 20)),
		"Name one with --modal-env NAME, or make it: modal environment create "+wanted)
	return false
}

func (x *examiner) findApp(ctx context.Context) bool {
	const name = "app"
	var err error
	x.app, x.environment, err = x.client.FindApp(ctx, appOf(x.Volume), false)
	switch {
	case err != nil:
		x.problem(name, err)
		return false
	case x.app == "":
		x.add(doctor.Note, name, appOf(x.Volume)+" is not there; the first run makes it", "")
	default:
		x.ok(name, "%s, https://modal.com/id/%s", appOf(x.Volume), x.app)
	}
	return true
}

func (x *examiner) findVolume(ctx context.Context) {
	const name = "volume"
	volume, err := findVolume(ctx, x.client, x.Volume)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		x.add(doctor.Note, name, x.Volume+" is not there; the first run makes it, with version 2", "")
	case err != nil:
		x.problem(name, err)
	case volume.remote.Version != 2:
		x.add(doctor.Problem, name, fmt.Sprintf("%s has version %d, which keeps nothing until a Sandbox ends: no checkpoint would survive", x.Volume, volume.remote.Version),
			"Name another one with --volume NAME: one that is not there is made with version 2.")
	default:
		x.volume = volume
		x.ok(name, "%s, version 2, %s", x.Volume, volume.remote.ID)
		x.add(doctor.Note, name+" in beta", "of volumes of version 2, Modal says that it cannot yet guarantee that no data will be lost",
			"Copy what you cannot lose: mtt-host volume sync "+x.Volume+" checkpoints/RUN DIR -b modal")
	}
}

// contents looks at what is on the volume, and at which Sandboxes live.
func (x *examiner) contents(ctx context.Context) {
	seen, err := x.look(ctx)
	if err == nil && len(seen.odd()) > 0 {
		// What is written and what lives are asked for one after the other: a run that begins or ends between is not odd.
		select {
		case <-time.After(secondLook):
		case <-ctx.Done():
			return
		}
		before := seen.odd()
		if seen, err = x.look(ctx); err == nil {
			seen.keep(before)
		}
	}
	if err != nil {
		x.problem("contents", err)
		return
	}
	if x.volume != nil {
		x.ok("contents", "%s", seen.text())
	}
	if x.volume != nil && x.host != nil {
		if _, err := x.volume.Stat(ctx, "bin/"+x.host.SHA256); errors.Is(err, fs.ErrNotExist) {
			x.add(doctor.Note, "worker on the volume", fmt.Sprintf("not yet: the next run sends %s", backend.SizeText(x.host.Size)), "")
		} else if err == nil {
			x.ok("worker on the volume", "it is there")
		}
	}
	x.ok("sandboxes", "%s", seen.sandboxesText())
	for _, s := range seen.odd() {
		x.add(doctor.Warning, "sandbox "+s.name, s.why, s.remedy)
	}
	for _, dir := range seen.left {
		x.add(doctor.Warning, "left behind", dir+" on the volume: a doctor --try runs, or was killed", "Remove it: "+x.volumeCommand("rm -r", dir))
	}
}

// volumeCommand is a command about a path of the volume, for a person to copy.
func (x *examiner) volumeCommand(what, path string) string {
	command := "mtt-host volume " + what + " " + x.Volume + " " + path + " -b modal"
	if x.Environment != "" {
		command += " --modal-env " + x.Environment
	}
	return command
}

// secondLook is how long a run may take to be gone after it has said that it ends, or to be there after it has begun.
const secondLook = 3 * time.Second

// secret looks for what supervisors have their credentials from.
func (x *examiner) secret(ctx context.Context) {
	const name = "supervisors' Secret"
	_, err := x.client.FindSecret(ctx, x.environment, secretName, tokenKeys)
	switch {
	case errors.Is(err, api.ErrNotFound):
		x.add(doctor.Note, name, secretName+" is not there; the first run makes it, of the credentials that are used here", "")
	case err != nil:
		x.problem(name, err)
	default:
		x.ok(name, "%s; whoever starts a supervisor renews it", secretName)
	}
}

// inventory is what is on a volume and what lives, at about one time.
type inventory struct {
	environment, volume string // as they were asked for

	runs      map[string]*runSeen
	top       map[string]*usage
	left      []string // directories of a doctor that was killed
	sandboxes []*sandboxSeen
}

type runSeen struct {
	recorded, over bool
	newest         string // attempt that was claimed, as a name
	ended          map[string]bool
	live           bool
	supervised     bool
}

type usage struct {
	files int
	bytes int64
}

type sandboxSeen struct {
	id, name    string
	task        string // id of its container
	why, remedy string // "" for one that is as it should be
}

// look reads the volume and then the Sandboxes.
func (x *examiner) look(ctx context.Context) (*inventory, error) {
	var entries []backend.Entry
	var err error
	if x.volume != nil {
		if entries, err = x.volume.List(ctx, "", true); err != nil {
			return nil, err
		}
	}
	v := &inventory{environment: x.Environment, volume: x.Volume, runs: map[string]*runSeen{}, top: map[string]*usage{}}
	for _, entry := range entries {
		v.addEntry(entry)
	}
	if x.app == "" {
		return v, nil
	}
	infos, err := x.client.Sandboxes(ctx, x.environment, x.app)
	for _, info := range infos {
		v.sandboxes = append(v.sandboxes, &sandboxSeen{id: info.ID, name: info.Name, task: info.Task.ID})
	}
	if err != nil {
		return nil, err
	}
	for _, s := range v.sandboxes {
		if id := runOf(s.name); id != "" {
			r := v.run(id)
			r.live = true
			r.supervised = r.supervised || s.name != workerName(id)
		}
	}
	for _, s := range v.sandboxes {
		s.why, s.remedy = v.judge(s)
	}
	return v, nil
}

func (v *inventory) run(id string) *runSeen {
	if v.runs[id] == nil {
		v.runs[id] = &runSeen{ended: map[string]bool{}}
	}
	return v.runs[id]
}

func (v *inventory) addEntry(entry backend.Entry) {
	parts := strings.Split(entry.Path, "/")
	if entry.Type == backend.Directory {
		if len(parts) == 1 && strings.HasPrefix(entry.Path, tryoutPrefix) {
			v.left = append(v.left, entry.Path)
		}
		return
	}
	top := parts[0]
	if len(parts) == 1 {
		top = "/"
	}
	if v.top[top] == nil {
		v.top[top] = &usage{}
	}
	v.top[top].files++
	v.top[top].bytes += entry.Size
	if len(parts) < 3 || parts[0] != "runs" {
		return
	}
	switch r := v.run(parts[1]); {
	case len(parts) == 3 && parts[2] == "run.json":
		r.recorded = true
	case len(parts) == 3 && parts[2] == "result.json":
		r.over = true
	case len(parts) == 5 && parts[2] == "attempts" && parts[4] == "claim.json":
		if n := parts[3]; len(n) > len(r.newest) || len(n) == len(r.newest) && n > r.newest {
			r.newest = n
		}
	case len(parts) == 5 && parts[2] == "attempts" && parts[4] == "end.json":
		r.ended[parts[3]] = true
	}
}

// judge says what is odd about a Sandbox that lives, since a machine that does nothing costs what one that works does.
// A command in the remedy is the end of its line.
func (v *inventory) judge(s *sandboxSeen) (why, remedy string) {
	end := "End it in the dashboard, where it is " + cmp.Or(s.task, s.id) + "; or all of the app, live runs too: modal app stop " + appOf(v.volume)
	if v.environment != "" {
		end += " -e " + v.environment
	}
	id := runOf(s.name)
	r := v.runs[id]
	stop := "mtt-host stop " + id + " --now"
	switch {
	case strings.HasPrefix(s.name, buildPrefix):
		return "", "" // for an hour at most
	case strings.HasPrefix(s.name, tryoutPrefix):
		return "a doctor --try runs, or has left it behind", "It ends by itself within " + tryoutLimit.String() + "."
	case id == "":
		return "it is in mtt's app, and not mtt's", end
	case !r.recorded:
		return "there is no run " + id + " on volume " + v.volume, end
	case r.over:
		return "it lives although run " + id + " is over", "If it is there in a minute still:\n" + end
	case s.name == workerName(id) && r.ended[r.newest]:
		return "it lives although the attempt of run " + id + " has ended", "If it is there in a minute still: " + stop
	case s.name == workerName(id) && !r.supervised:
		return "it trains without a supervisor: if it ends early, nothing starts run " + id + " again",
			"Start a supervisor: mtt-host resume " + id + " -d\nOr end it: " + stop
	}
	return "", ""
}

// buildPrefix begins the names of Sandboxes in which plugins are built; see Backend.Build.
const buildPrefix = "build-"

// odd are the Sandboxes that somebody should look at.
func (v *inventory) odd() (odd []*sandboxSeen) {
	for _, s := range v.sandboxes {
		if s.why != "" {
			odd = append(odd, s)
		}
	}
	return odd
}

// keep leaves those odd that were so before.
func (v *inventory) keep(before []*sandboxSeen) {
	for _, s := range v.sandboxes {
		if !slices.ContainsFunc(before, func(b *sandboxSeen) bool { return b.id == s.id && b.why == s.why }) {
			s.why, s.remedy = "", ""
		}
	}
}

func (v *inventory) text() string {
	runs, live := 0, 0
	for _, r := range v.runs {
		if r.recorded {
			runs++
			if r.live {
				live++
			}
		}
	}
	text := fmt.Sprintf("%d run(s), %d of them live", runs, live)
	var total int64
	var parts []string
	for _, top := range slices.Sorted(maps.Keys(v.top)) {
		total += v.top[top].bytes
		parts = append(parts, fmt.Sprintf("%s %s in %d", top, backend.SizeText(v.top[top].bytes), v.top[top].files))
	}
	if len(parts) > 0 {
		text += fmt.Sprintf("; %s (%s)", backend.SizeText(total), strings.Join(parts, ", "))
	}
	return text
}

func (v *inventory) sandboxesText() string {
	workers, supervisors, builds := 0, 0, 0
	for _, s := range v.sandboxes {
		switch id := runOf(s.name); {
		case strings.HasPrefix(s.name, buildPrefix):
			builds++
		case id == "":
		case s.name == workerName(id):
			workers++
		default:
			supervisors++
		}
	}
	if len(v.sandboxes) == 0 {
		return "none lives"
	}
	return fmt.Sprintf("%d live: %d worker(s), %d supervisor(s), %d build(s), %d other(s)",
		len(v.sandboxes), workers, supervisors, builds, len(v.sandboxes)-workers-supervisors-builds)
}
