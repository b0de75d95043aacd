package api_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mtt-project/mtt/host/internal/backend/modal/api"
	"github.com/mtt-project/mtt/host/internal/exit"
)

// Every call waits as it is told, and is not given up for how often it was.
func TestEveryCallIsMadeAgainWhenModalSaysSo(t *testing.T) {
	s := newServer(t)
	volume := api.Volume{ID: "vo-1", Version: 2}
	calls := map[string]func(context.Context, *api.Client) error{
		"AppGetOrCreate":  func(ctx context.Context, c *api.Client) error { _, _, err := c.FindApp(ctx, "a", true); return err },
		"AppList":         func(ctx context.Context, c *api.Client) error { _, err := c.Apps(ctx, ""); return err },
		"EnvironmentList": func(ctx context.Context, c *api.Client) error { _, err := c.Environments(ctx); return err },
		"ImageGetOrCreate": func(ctx context.Context, c *api.Client) error {
			_, err := c.Image(ctx, "ap-1", "debian", nil)
			return err
		},
		"ImageJoinStreaming": func(ctx context.Context, c *api.Client) error {
			_, err := c.Image(ctx, "ap-1", "debian", nil)
			return err
		},
		"SandboxCreate": func(ctx context.Context, c *api.Client) error {
			_, _, err := c.CreateSandbox(ctx, "ap-1", api.Sandbox{Name: "s"})
			return err
		},
		"SandboxGetFromName": func(ctx context.Context, c *api.Client) error {
			_, err := c.SandboxNamed(ctx, "", "a", "s")
			return err
		},
		"SandboxGetLogs": func(ctx context.Context, c *api.Client) error {
			c.FollowSandbox(ctx, "sb-1", func(string) {})
			return ctx.Err()
		},
		"SandboxGetTaskId":  func(ctx context.Context, c *api.Client) error { _, err := c.SandboxPlacement(ctx, "sb-1"); return err },
		"SandboxList":       func(ctx context.Context, c *api.Client) error { _, err := c.Sandboxes(ctx, "", "ap-1"); return err },
		"SandboxStdinWrite": func(ctx context.Context, c *api.Client) error { return c.WriteStdin(ctx, "sb-1", 1, "stop\n") },
		"SandboxTagsSet":    func(ctx context.Context, c *api.Client) error { return c.TagSandbox(ctx, "", "sb-1", nil) },
		"SandboxTerminate":  func(ctx context.Context, c *api.Client) error { return c.TerminateSandbox(ctx, "sb-1") },
		"SandboxWait":       func(ctx context.Context, c *api.Client) error { _, err := c.WaitSandbox(ctx, "sb-1", 0); return err },
		"SecretGetOrCreate": func(ctx context.Context, c *api.Client) error { _, err := c.FindSecret(ctx, "", "s", nil); return err },
		"VolumeGetFile2": func(ctx context.Context, c *api.Client) error {
			_, err := c.FileRange(ctx, volume, "f", 0, 1)
			return err
		},
		"VolumeGetOrCreate": func(ctx context.Context, c *api.Client) error { return c.MakeVolume(ctx, "", "v") },
		"VolumeListFiles2": func(ctx context.Context, c *api.Client) error {
			_, err := c.ListFiles(ctx, volume, "", true, 0)
			return err
		},
		"VolumePutFiles2": func(ctx context.Context, c *api.Client) error {
			_, err := c.PutFiles(ctx, volume, []api.NewFile{{Path: "f"}}, true)
			return err
		},
		"VolumeRemoveFile2": func(ctx context.Context, c *api.Client) error {
			_, err := c.RemoveFile(ctx, volume, "f", false)
			return err
		},
	}
	client := connect(t, api.Options{})
	var group sync.WaitGroup
	defer group.Wait()
	for name, call := range calls {
		group.Go(func() {
			throttled := []error{
				told(codes.ResourceExhausted, "slow down", 0.01), told(codes.Unavailable, "come again", 0.01), told(codes.ResourceExhausted, "now", 0),
				told(codes.FailedPrecondition, "not yet", -1), bare(name + " rate limit exceeded"),
			}
			for range api.Tries { // more than would be tried of what fails
				throttled = append(throttled, told(codes.ResourceExhausted, "slow down", 0.001))
			}
			s.fail(name, throttled...)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := call(ctx, client); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if made := s.count(name); made < len(throttled)+1 {
				t.Errorf("%s was made %d times, want %d", name, made, len(throttled)+1)
			}
		})
	}
}

// The call for an auth token is modal-go's own, and is made before anything else.
func TestTheFirstCallWaitsAsTheOthersDo(t *testing.T) {
	s := newServer(t)
	s.fail("AuthTokenGet", told(codes.ResourceExhausted, "slow down", 0.05), told(codes.Unavailable, "come again", 0), bare("AuthTokenGet rate limit exceeded"))
	connect(t, api.Options{})
	if made := s.count("AuthTokenGet"); made != 4 {
		t.Errorf("it was made %d times, want 4", made)
	}
	s.fail("AuthTokenGet", told(codes.ResourceExhausted, "slow down", 50))
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errors.New("left"))
	defer cancel()
	if _, err := api.Connect(ctx, api.Options{}); err == nil || err.Error() != "left" {
		t.Errorf("who leaves gets %v", err)
	}
}

func TestWhatModalLimitsIsToldApart(t *testing.T) {
	s := newServer(t)
	client := connect(t, api.Options{})
	for text, c := range map[string]struct {
		err  error
		want api.LimitKind
	}{
		"a rate":             {bare("Sandbox creation rate limit exceeded. Please wait and retry."), api.Throttled},
		"a policy":           {told(codes.ResourceExhausted, "no capacity", 3), api.Throttled},
		"another code":       {told(codes.Aborted, "come again", 3), api.Throttled},
		"a quota":            {bare("GPU quota of this workspace is used up: 10 H100"), api.NoMachine},
		"no machine":         {bare("no capacity for H100 in any region"), api.NoMachine},
		"a billing limit":    {bare("Sandbox creation failed: workspace billing cycle spend limit reached"), api.Billing},
		"billing, with when": {told(codes.ResourceExhausted, "workspace billing cycle spend limit reached", 3), api.Billing},
	} {
		s.fail("SandboxCreate", c.err)
		_, lost, err := client.TryCreateSandbox(t.Context(), "ap-1", api.Sandbox{Name: "s"})
		limit := api.LimitOf(err)
		if limit == nil || limit.Kind != c.want || !strings.Contains(err.Error(), status.Convert(c.err).Message()) {
			t.Errorf("%s: %v, want a limit of kind %d with Modal's words", text, err, c.want)
		}
		if lost != (status.Code(c.err) != codes.ResourceExhausted) {
			t.Errorf("%s: lost is %v", text, lost)
		}
	}
	s.fail("VolumePutFiles2", bare("no more room"))
	client = connect(t, api.Options{Patience: time.Millisecond})
	_, err := client.PutFiles(t.Context(), api.Volume{ID: "vo-1", Version: 2}, nil, false)
	if limit := api.LimitOf(err); limit == nil || limit.Kind != api.Throttled || exit.Of(err) != exit.Unavailable || !api.Passes(err) {
		t.Errorf("nothing but a machine can be out: %v", err)
	}
}

func TestAPauseIsWithinReason(t *testing.T) {
	s := newServer(t)
	client := connect(t, api.Options{})
	for name, c := range map[string]struct {
		err         error
		least, most time.Duration
	}{
		"as told":     {told(codes.ResourceExhausted, "", 12), 12 * time.Second, 13 * time.Second},
		"nothing":     {told(codes.ResourceExhausted, "", 0), 100 * time.Millisecond, time.Second},
		"negative":    {told(codes.ResourceExhausted, "", -5), time.Millisecond, time.Second},
		"no number":   {told(codes.ResourceExhausted, "", math.NaN()), time.Millisecond, time.Second},
		"for ever":    {told(codes.ResourceExhausted, "", math.Inf(1)), 30 * time.Second, 2 * time.Minute},
		"for a year":  {told(codes.ResourceExhausted, "", 3e7), 30 * time.Second, 2 * time.Minute},
		"not told":    {bare("rate limit"), 100 * time.Millisecond, time.Second},
		"a bill":      {bare("billing limit"), time.Minute, time.Minute},
		"a full park": {bare("no capacity"), 100 * time.Millisecond, time.Second},
	} {
		s.fail("SandboxCreate", c.err)
		_, _, err := client.TryCreateSandbox(t.Context(), "ap-1", api.Sandbox{Name: "s"})
		if pause := api.LimitOf(err).Pause(0); pause < c.least || pause > c.most {
			t.Errorf("%s: %s, want %s to %s", name, pause, c.least, c.most)
		}
		for met := range 100 { // never a busy loop, and never for long without asking
			if pause := api.LimitOf(err).Pause(met); pause <= 0 || pause > 2*time.Minute {
				t.Errorf("%s, the %d. time: %s", name, met, pause)
			}
		}
	}
}

// Who waits is told once what for, however the waits are spread over calls, clients and bursts.
func TestWhatCallsWaitForIsSaidOnce(t *testing.T) {
	s := newServer(t)
	var mu sync.Mutex
	var said []string
	notices := api.NewNotices(func(text string) {
		mu.Lock()
		defer mu.Unlock()
		said = append(said, text)
	})
	list := func(times int) {
		client := connect(t, api.Options{Notices: notices})
		for range times {
			if _, err := client.Sandboxes(t.Context(), "", "ap-1"); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.fail("SandboxList", told(codes.ResourceExhausted, "a moment", 0.01)) // which is nothing to speak of
	list(1)
	if len(said) > 0 {
		t.Errorf("of a short wait it was said %q", said)
	}
	for range 2 {
		for range 3 { // each waits for less than what is worth a word
			s.fail("SandboxList", told(codes.ResourceExhausted, "so many lists", 0.8))
			list(1)
		}
		s.fail("SandboxList", told(codes.ResourceExhausted, "so many lists", 2.1))
		list(2)
	}
	if len(said) != 1 || !strings.Contains(said[0], "so many lists") || !strings.Contains(said[0], "SandboxList") {
		t.Errorf("it was said %q", said)
	}
	for range 2 { // what holds until it is lifted is news each time, and so is its end
		said = nil
		s.fail("SandboxList", told(codes.ResourceExhausted, "billing limit", 0.1))
		list(1)
		if len(said) != 2 || !strings.Contains(said[0], "billing limit") || !strings.Contains(said[1], "again") {
			t.Errorf("of a billing limit it was said %q", said)
		}
	}
}

func TestACommandsPatienceHasAnEnd(t *testing.T) {
	s := newServer(t)
	client := connect(t, api.Options{Patience: time.Second})
	s.fail("VolumeListFiles2", told(codes.ResourceExhausted, "VolumeListFiles rate limit exceeded", 30))
	_, err := client.ListFiles(t.Context(), api.Volume{ID: "vo-1", Version: 2}, "", true, 0)
	if exit.Of(err) != exit.Unavailable || !strings.Contains(err.Error(), "rate limit exceeded") || exit.NextOf(err) == "" {
		t.Errorf("%v, want 69 with Modal's words and what to do", err)
	}
}
