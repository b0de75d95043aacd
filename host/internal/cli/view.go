package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/mtt-project/mtt/host/internal/backend"
	"github.com/mtt-project/mtt/host/internal/eventlog"
	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

// plainEvery is how often progress is a line where there is no terminal to keep one line on.
const plainEvery = 10 * time.Second

// view renders the events of a run for a person: on a terminal with a line of progress at the bottom, elsewhere as
// plain lines.
type view struct {
	mu       sync.Mutex
	to       *unblocked
	terminal int // descriptor to ask for the width; -1 for plain lines
	progress string
	saved    eventlog.Event // the last checkpoint
	printed  time.Time      // when progress was last a plain line
	ended    string         // how the last attempt ended, to be said if another one follows
}

func newView(to io.Writer) *view {
	v := &view{to: newUnblocked(to), terminal: -1, printed: time.Now()}
	if file, ok := to.(*os.File); ok && term.IsTerminal(int(file.Fd())) && os.Getenv("TERM") != "dumb" {
		v.terminal = int(file.Fd())
	}
	return v
}

// say prints a line of its own.
func (v *view) say(line string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.line("mtt-host: " + escapeLines(line))
}

// warn prints a warning.
func (v *view) warn(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.line("warning: " + escapeLines(text))
}

// show renders one event.
func (v *view) show(event eventlog.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch event.Kind {
	case eventlog.Stepped:
		v.step(event)
	case eventlog.Saved:
		v.saved = event
		v.line(eventText(event))
	case eventlog.Ended:
		v.ended = escapeLines(event.Message) // the command itself says how the last attempt ended
	case eventlog.Started, eventlog.Retrying:
		if v.ended != "" {
			v.line(v.ended)
			v.ended = ""
		}
		v.line(eventText(event))
	default:
		v.line(eventText(event))
	}
}

func (v *view) step(event eventlog.Event) {
	text := escape(progressText(event))
	if v.saved.Attempt == event.Attempt && v.saved.ElapsedSeconds > 0 {
		text += " · checkpoint " + durationText(seconds(event.ElapsedSeconds-v.saved.ElapsedSeconds)) + " old"
	}
	if v.terminal >= 0 {
		v.redraw(text)
		return
	}
	if time.Since(v.printed) >= plainEvery {
		v.printed = time.Now()
		fmt.Fprintln(v.to, text)
	}
}

// eventText is an event as a line, without what would drive a terminal: its words are anybody's.
func eventText(event eventlog.Event) string { return escapeLines(eventWords(event)) }

func eventWords(event eventlog.Event) string {
	switch event.Kind {
	case eventlog.Stepped:
		return progressText(event)
	case eventlog.Saved:
		return fmt.Sprintf("saved step %d (%s, %s) in %s", event.Step, event.Reason, backend.SizeText(int64(event.SizeBytes)), durationText(seconds(event.Seconds)))
	case eventlog.Printed:
		return "plugin: " + event.Message
	case eventlog.FellBack, eventlog.Warning:
		return "warning: " + event.Message
	default:
		return event.Message
	}
}

func progressText(event eventlog.Event) string {
	parts := []string{fmt.Sprintf("step %d", event.Step)}
	if event.TotalSteps > 0 {
		parts[0] = fmt.Sprintf("step %d/%d (%d%%)", event.Step, event.TotalSteps, 100*event.Step/event.TotalSteps)
	}
	if event.StepsPerSecond > 0 {
		parts = append(parts, fmt.Sprintf("%.4g steps/s", event.StepsPerSecond))
		if event.TotalSteps >= event.Step && event.TotalSteps > 0 {
			left := seconds(float64(event.TotalSteps-event.Step) / event.StepsPerSecond)
			parts = append(parts, durationText(left)+" left")
		}
	}
	if len(event.Metrics) > 0 {
		parts = append(parts, metricsText(event.Metrics))
	}
	return strings.Join(parts, " · ")
}

const eraseLine = "\r\x1b[K"

// line prints a line above the progress.
func (v *view) line(text string) {
	if v.progress != "" {
		fmt.Fprint(v.to, eraseLine)
	}
	fmt.Fprintln(v.to, text)
	if v.progress != "" {
		fmt.Fprint(v.to, v.progress)
	}
}

// redraw replaces the line of progress, cut to the terminal's width: a line that wraps could not be erased.
func (v *view) redraw(text string) {
	if width, _, err := term.GetSize(v.terminal); err == nil {
		if runes := []rune(text); len(runes) >= width && width > 1 {
			text = string(runes[:width-2]) + "…"
		}
	}
	v.progress = text
	fmt.Fprint(v.to, eraseLine+text)
}

// end takes the line of progress away, and waits until all is on the terminal.
func (v *view) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.progress != "" {
		fmt.Fprint(v.to, eraseLine)
		v.progress = ""
	}
	v.to.flush()
}

// summary says where things are and what shows them.
func (v *view) summary(info *run.Info, outputs string) {
	lines := [][2]string{
		{"run", info.Directory},
		{"details", "mtt-host show " + info.RunID + outputs},
		{"checkpoints", "mtt-host checkpoints ls " + info.RunID + outputs},
		{"curves", "tensorboard --logdir " + exit.ShellText(info.Directory)},
	}
	if info.Directory == "" { // it is elsewhere
		lines[0], lines[3][1] = [2]string{"dashboard", info.Dashboard}, "mtt-host tb "+info.RunID+outputs
	}
	if info.State == run.Stopped || info.State == run.Interrupted || info.State == run.Failed {
		lines = append(lines, [2]string{"go on", "mtt-host resume " + info.RunID + outputs})
	}
	for _, line := range lines {
		fmt.Fprintf(v.to, "  %-12s %s\n", line[0], line[1])
	}
	v.to.flush()
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
