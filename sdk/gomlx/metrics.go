package gomlx

import (
	"fmt"
	"regexp"
)

// metricNames names the variables of GoMLX's metrics, by the scope that GoMLX gave them. That has a UUID in it, another
// one in each process, so in checkpoints a number stands in for it. Only metrics that a training step makes have one.
type metricNames map[string]string

// randomScope is the scope that GoMLX 0.28 gives a metric: see baseMetric.ScopeName and metric.Scope in ml/train/metric.
var randomScope = regexp.MustCompile(`^(.*/metrics/[^/]*_uuid_)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/`)

// isMetric says whether a name in a checkpoint is that of a metric's variable.
func isMetric(name string) bool { return steadyScope.MatchString(name) }

// steadyScope is what names have in place of randomScope: the number of the optimizer, and that of the metric.
var steadyScope = regexp.MustCompile(`^.*/metrics/[^/]*_uuid_[0-9]+\.[0-9]+/`)

// add names the metric that the variable at path belongs to, if it belongs to one. Metrics of one title are told apart
// by the trainer, given by the number of its optimizer, and by their order in its step.
func (m metricNames) add(path string, optimizer int) {
	scope := randomScope.FindStringSubmatch(path)
	if scope == nil || m[scope[0]] != "" {
		return
	}
	for n := 0; m[scope[0]] == ""; n++ {
		if name := fmt.Sprintf("%s%d.%d/", scope[1], optimizer, n); !m.has(name) {
			m[scope[0]] = name
		}
	}
}

func (m metricNames) has(name string) bool {
	for _, known := range m {
		if known == name {
			return true
		}
	}
	return false
}

// name is that of a variable in checkpoints. It is the variable's path, but for metrics; not ok is one that is no state.
func (m metricNames) name(path string) (name string, ok bool) {
	scope := randomScope.FindString(path)
	if scope == "" {
		return path, true
	}
	steady, ok := m[scope]
	return steady + path[len(scope):], ok
}
