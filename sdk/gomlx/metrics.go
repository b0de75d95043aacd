package gomlx

import (
	"fmt"
	"regexp"
)

// metricNames names the variables of GoMLX's metrics, by the scope that GoMLX gave them. That has a UUID in it, another
// one in each process, so in checkpoints a number stands in for it. Only metrics that a training step makes have one.
type metricNames map[string]string

// randomScope is how GoMLX 0.28 ends the scope of a metric: baseMetric.ScopeName in ml/train/metric.
var randomScope = regexp.MustCompile(`_uuid_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/`)

// isMetric says whether a name in a checkpoint is that of a metric's variable.
func isMetric(name string) bool { return steadyScope.MatchString(name) }

// steadyScope is what names have in place of randomScope: the number of the optimizer, and that of the metric.
var steadyScope = regexp.MustCompile(`_uuid_[0-9]+\.[0-9]+/`)

// add names the metric that the variable at path belongs to, if it belongs to one. Metrics of one title are told apart
// by the trainer, given by the number of its optimizer, and by their order in its step.
func (m metricNames) add(path string, optimizer int) {
	at := randomScope.FindStringIndex(path)
	if at == nil || m[path[:at[1]]] != "" {
		return
	}
	for n := 0; ; n++ {
		name := fmt.Sprintf("%s_uuid_%d.%d/", path[:at[0]], optimizer, n)
		if !m.has(name) {
			m[path[:at[1]]] = name
			return
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
	at := randomScope.FindStringIndex(path)
	if at == nil {
		return path, true
	}
	scope, ok := m[path[:at[1]]]
	return scope + path[at[1]:], ok
}
