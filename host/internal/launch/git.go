package launch

import (
	"context"
	"os/exec"
	"strings"
)

// maxDiff bounds what of an uncommitted change is kept with a run. A longer one is generated or data.
const maxDiff = 64 << 10

// SourceState returns the commit that a directory is at, and what was changed since. Both are empty where there is no
// git to ask; the digest of the plugin is the run's identity, and this is for people.
func SourceState(ctx context.Context, dir string) (commit, diff string) {
	commit, err := git(ctx, dir, "rev-parse", "HEAD")
	if err != nil {
		return "", ""
	}
	diff, err = git(ctx, dir, "diff", "--no-ext-diff", "HEAD", "--", ".")
	if err != nil {
		return commit, ""
	}
	if len(diff) > maxDiff {
		diff = strings.ToValidUTF8(diff[:maxDiff], "") + "\n(cut)"
	}
	return commit, diff
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	output, err := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...).Output()
	return strings.TrimSpace(string(output)), err
}
