package modal

import (
	"context"
	"fmt"
	"strings"

	"github.com/mtt-project/mtt/host/internal/backend/modal/api"
	"github.com/mtt-project/mtt/host/internal/doctor"
	"github.com/mtt-project/mtt/host/internal/exit"
)

// calls looks whether Modal has the calls that mtt needs.
func (x *examiner) calls(ctx context.Context) {
	const name = "calls"
	switch probed := x.client.Probe(ctx); {
	case len(probed.Gone) > 0:
		x.checks = append(x.checks, doctor.Check{
			Name: "modal: " + name, Status: doctor.Problem, Code: exit.Unavailable,
			Found: fmt.Sprintf("%v: %s", api.ErrNoCall, strings.Join(probed.Gone, ", ")), Remedy: "Use a newer version of mtt.",
		})
	case len(probed.Silent) > 0:
		x.checks = append(x.checks, doctor.Check{
			Name: "modal: " + name, Status: doctor.Problem, Code: exit.Unavailable,
			Found:  "no answer from " + strings.Join(probed.Silent, ", "),
			Remedy: "Look at the network and at https://status.modal.com, and look again.",
		})
	default:
		x.ok(name, "all %d answer that are not in Modal's public interface", probed.Calls)
	}
}
