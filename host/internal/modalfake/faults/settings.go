// Package faults is how the fake misbehaves: its settings, which are given at the start and can be changed at any
// moment, and the dice that it throws by them.
package faults

import (
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
)

// Settings are the switches. New returns the defaults, the worst that is silent: only what a client must count on works.
type Settings struct {
	Commit         Commit
	CommitEvery    time.Duration
	Preempt        Status
	PreemptMean    time.Duration
	PreemptOnlyGPU bool
	PreemptSignal  Signal
	PreemptGrace   time.Duration
	TornCommits    float64
	StartDelay     time.Duration
	TimeLimit      time.Duration
	GPUs           GPUs
	GPUsFor        time.Duration
	GPUsOf         string
	LoseCreates    int
	DropStreams    float64
	RepeatStreams  float64
	ErrorRate      float64
	ErrorCode      Code
	Delay          time.Duration
	BlockDelay     time.Duration
	BlockURLLife   time.Duration
	ExpireBlocks   int
	TrustBlocks    bool
	PadBlocks      bool
	AuthTokenLife  time.Duration
	VolumeLimit    int64
	MountFree      int64
	DiskFull       int

	EchoCredentials bool

	ThrottleRate    float64
	ThrottleNext    int
	ThrottleFor     time.Duration
	ThrottleStreams float64
	ThrottleCalls   Calls
	ThrottleLimits  Limits
	ThrottlePolicy  float64
	ThrottleAfter   time.Duration
	ThrottleCode    Code
	BillingLimit    Calls

	Unplaced       int
	UnplacedRate   float64
	UnplacedStatus Status
	EndBuilds      int
	BuildStatus    Status
}

func defaults() Settings {
	return Settings{
		Commit:        CommitOnSync,
		CommitEvery:   10 * time.Second,
		Preempt:       "TERMINATED",
		GPUs:          GPUsThere,
		ErrorCode:     Code(codes.Unavailable),
		BlockURLLife:  time.Hour,
		AuthTokenLife: 20 * time.Minute,
		PadBlocks:     true,

		ThrottleAfter:  time.Second,
		ThrottleCode:   Code(codes.ResourceExhausted),
		UnplacedStatus: "TERMINATED",
		BuildStatus:    "TERMINATED",
	}
}

// flags binds each setting to its name.
func (s *Settings) flags() *flag.FlagSet {
	f := flag.NewFlagSet("settings", flag.ContinueOnError)
	f.SetOutput(new(strings.Builder)) // the error says it all
	f.Var(&s.Commit, "commit", "when a Sandbox's files reach the volume: `sync`, end, or background")
	f.DurationVar(&s.CommitEvery, "commit-every", s.CommitEvery, "with commit=background: how often")
	f.Var(&s.Preempt, "preempt-status", "the `status` that a preempted Sandbox reports")
	f.DurationVar(&s.PreemptMean, "preempt-mean", s.PreemptMean, "preempt each Sandbox at random, after this time on average; 0 never")
	f.BoolVar(&s.PreemptOnlyGPU, "preempt-only-gpu", s.PreemptOnlyGPU, "whether preempt-mean spares the Sandboxes without a GPU, as Modal's documentation says")
	f.Var(&s.PreemptSignal, "preempt-signal", "the `signal` before the kill: none, INT or TERM")
	f.DurationVar(&s.PreemptGrace, "preempt-grace", s.PreemptGrace, "the time between that signal and the kill")
	f.Float64Var(&s.TornCommits, "torn-commits", s.TornCommits, "the `share` of preemptions at which some of the files that were not committed, chosen at random, are")
	f.DurationVar(&s.StartDelay, "start-delay", s.StartDelay, "how long a Sandbox is in the queue before it starts")
	f.DurationVar(&s.TimeLimit, "time-limit", s.TimeLimit, "ends every Sandbox after this time, whatever it asked for; 0 does not")
	f.Var(&s.GPUs, "gpus", "Sandboxes with a GPU are `started`, queued or refused")
	f.DurationVar(&s.GPUsFor, "gpus-for", s.GPUsFor, "how long gpus=queued or refused holds, from when it is set; 0 until it is set again")
	f.StringVar(&s.GPUsOf, "gpus-of", s.GPUsOf, "the `type` of GPU that gpus=queued or refused holds for; all of them if empty")
	f.IntVar(&s.LoseCreates, "lose-creates", s.LoseCreates, "carry out the next `N` creations of Sandboxes, but answer UNAVAILABLE, so that they come twice")
	f.Float64Var(&s.DropStreams, "drop-streams", s.DropStreams, "the `share` of messages in streams after which the stream breaks")
	f.Float64Var(&s.RepeatStreams, "repeat-streams", s.RepeatStreams, "the `share` of log messages that come twice")
	f.Float64Var(&s.ErrorRate, "error-rate", s.ErrorRate, "the `share` of calls that fail, half of them after they were carried out")
	f.Var(&s.ErrorCode, "error-code", "the `code` with which calls and streams fail")
	f.DurationVar(&s.Delay, "delay", s.Delay, "added to every call")
	f.DurationVar(&s.BlockDelay, "block-delay", s.BlockDelay, "added to every transfer of a block")
	f.DurationVar(&s.BlockURLLife, "block-url-life", s.BlockURLLife, "how long the addresses of blocks are good; 0 means that they are handed out expired")
	f.IntVar(&s.ExpireBlocks, "expire-blocks", s.ExpireBlocks, "answer the next `N` requests for blocks as if their address had expired")
	f.BoolVar(&s.TrustBlocks, "trust-blocks", s.TrustBlocks, "take what is sent for the block that its address names, without hashing it: for measurements, which would pay for what Modal does on machines of its own")
	f.BoolVar(&s.PadBlocks, "pad-blocks", s.PadBlocks, "serve the zero bytes at the end of a block to clients that do not say that they put them back (client_pads_blocks)")
	f.DurationVar(&s.AuthTokenLife, "auth-token-life", s.AuthTokenLife, "how long an auth token is good")
	f.BoolVar(&s.EchoCredentials, "echo-credentials", s.EchoCredentials, "repeat in the text of every error what the client has sent to be known by")
	f.Int64Var(&s.VolumeLimit, "volume-limit", s.VolumeLimit, "the `bytes` that a volume holds; 0 any number")
	f.Int64Var(&s.MountFree, "mount-free", s.MountFree, "the `bytes` that statfs(2) has as free on a volume's mount, whatever can be written there; -1 what this machine has")
	f.IntVar(&s.DiskFull, "disk-full", s.DiskFull, "start the next `N` Sandboxes on machines whose disk is full: each fsync of a file on a volume's mount fails with ENOSPC")
	f.Float64Var(&s.ThrottleRate, "throttle-rate", s.ThrottleRate, "the `share` of calls, and of requests for blocks, that are throttled: refused before they are carried out")
	f.IntVar(&s.ThrottleNext, "throttle-next", s.ThrottleNext, "throttle the next `N`")
	f.DurationVar(&s.ThrottleFor, "throttle-for", s.ThrottleFor, "throttle all of them for this time, from when it is set")
	f.Float64Var(&s.ThrottleStreams, "throttle-streams", s.ThrottleStreams, "the `share` of messages in streams after which the stream is throttled")
	f.Var(&s.ThrottleCalls, "throttle-calls", "which `calls` throttle-rate, -next, -for and -streams are about, such as SandboxWait,VolumePutFiles2,BlockPut; all if empty")
	f.Var(&s.ThrottleLimits, "throttle-limits", "how often calls may come, as `CALL:RATE/BURST`,…: a rate per second, and so many at once; * is all calls together")
	f.Float64Var(&s.ThrottlePolicy, "throttle-policy", s.ThrottlePolicy, "the `share` of throttled calls, and of those that meet the billing limit, that are told when to come again")
	f.DurationVar(&s.ThrottleAfter, "throttle-after", s.ThrottleAfter, "when; for blocks, in whole seconds")
	f.Var(&s.ThrottleCode, "throttle-code", "the `code` of what is refused and told when to come again")
	f.Var(&s.BillingLimit, "billing-limit", "which `calls` are refused because the workspace has spent what it may, such as SandboxCreate,AppGetOrCreate; none if empty")
	f.IntVar(&s.Unplaced, "unplaced", s.Unplaced, "the next `N` Sandboxes end where start-delay does, without ever having had a machine")
	f.Float64Var(&s.UnplacedRate, "unplaced-rate", s.UnplacedRate, "the `share` of Sandboxes that do")
	f.Var(&s.UnplacedStatus, "unplaced-status", "the `status` that they report")
	f.IntVar(&s.EndBuilds, "end-builds", s.EndBuilds, "end the next `N` builds of images before there is an image")
	f.Var(&s.BuildStatus, "build-status", "the `status` that they report")
	return f
}

// Commit is when a Sandbox's files reach the volume.
type Commit string

const (
	CommitOnSync     Commit = "sync"       // version 2 only when the mount point is synced, version 1 only at an orderly end
	CommitAtEnd      Commit = "end"        // also at an orderly end
	CommitBackground Commit = "background" // also every now and then
)

func (c *Commit) String() string { return string(*c) }
func (c *Commit) Set(s string) error {
	return oneOf(c, s, CommitOnSync, CommitAtEnd, CommitBackground)
}

// Status is a GenericResult's, without GENERIC_STATUS_, or its number.
type Status string

// statuses are those that modal_proto.api_pb2 of Modal's Python client 1.6.4 has, by their numbers; modal-go v0.7.0 knows
// them up to IDLE_TIMEOUT.
var statuses = []Status{
	"UNSPECIFIED", "SUCCESS", "FAILURE", "TERMINATED", "TIMEOUT", "INIT_FAILURE", "INTERNAL_FAILURE", "IDLE_TIMEOUT",
	"MEMORY_MANAGER_EVICTION", "MEMORY_THRASHING_EVICTION", "KERNEL_OOM_KILL",
}

func (v *Status) String() string { return string(*v) }
func (v *Status) Set(s string) error {
	if n, err := strconv.ParseInt(s, 10, 32); err == nil && n > 0 {
		*v = Status(s)
		return nil
	}
	return oneOf(v, s, statuses[1:]...)
}

// Number is what goes over the wire.
func (v Status) Number() int32 {
	if n := slices.Index(statuses, v); n >= 0 {
		return int32(n)
	}
	n, _ := strconv.ParseInt(string(v), 10, 32)
	return int32(n)
}

// Signal is what a preempted Sandbox gets before it is killed.
type Signal string

func (v *Signal) String() string { return string(*v) }
func (v *Signal) Set(s string) error {
	if s == "none" {
		s = ""
	}
	return oneOf(v, s, "", "INT", "TERM")
}

// GPUs is what happens to Sandboxes that ask for one.
type GPUs string

const (
	GPUsThere   GPUs = "started"
	GPUsQueued  GPUs = "queued"  // created, but not started
	GPUsRefused GPUs = "refused" // the creation fails with RESOURCE_EXHAUSTED
)

func (v *GPUs) String() string     { return string(*v) }
func (v *GPUs) Set(s string) error { return oneOf(v, s, GPUsThere, GPUsQueued, GPUsRefused) }

func oneOf[T ~string](v *T, s string, allowed ...T) error {
	for _, a := range allowed {
		if s == string(a) {
			*v = a
			return nil
		}
	}
	return fmt.Errorf("it is one of %q", allowed)
}

// Code is a gRPC status code.
type Code codes.Code

func (c *Code) String() string { return codes.Code(*c).String() }
func (c *Code) Set(s string) error {
	var code codes.Code
	if err := code.UnmarshalJSON([]byte(`"` + s + `"`)); err != nil { // UNAVAILABLE and the like
		return err
	}
	*c = Code(code)
	return nil
}
