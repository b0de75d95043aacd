package checkpoint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Guard returns a *MismatchError unless the checkpoint have belongs to want.
func Guard(want Identity, have *Manifest) error {
	var fields []Field
	compare := func(name, want, have string) {
		if want != have {
			fields = append(fields, Field{Name: name, Want: want, Have: have})
		}
	}
	compare("experiment", want.Experiment, have.Experiment)
	compare("prefix", want.Prefix, have.Prefix)
	compare("run_id", want.RunID, have.RunID)
	compare("seed", strconv.FormatUint(want.Seed, 10), strconv.FormatUint(have.Seed, 10))
	compare("plugin_sha256", want.PluginSHA256, have.PluginSHA256)

	before := len(fields)
	wantConfig, haveConfig := flatten(want.Config), flatten(have.Config)
	all := maps.Clone(wantConfig)
	maps.Copy(all, haveConfig)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		compare("config."+key, wantConfig[key], haveConfig[key])
	}
	if len(fields) == before { // The same values in another form.
		compare("config_sha256", want.ConfigSHA256, have.ConfigSHA256)
	}
	if len(fields) > 0 {
		return &MismatchError{ID: have.ID, Fields: fields}
	}
	return nil
}

// Field is one difference between what a run is and what a checkpoint was made by.
type Field struct {
	// Name as in the manifest; keys of the configuration are written config.a.b.
	Name string
	// Want is the run's value and Have the checkpoint's, those of the configuration as JSON. "" if there is none.
	Want, Have string
}

// MismatchError says that a checkpoint must not be loaded, because it belongs to something else.
type MismatchError struct {
	ID string
	// Fields are all that differ; there is at least one.
	Fields []Field
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("checkpoint %s belongs to something else:%s", e.ID, e.Differences("the checkpoint", "this run"))
}

// Differences lists the fields, each on a line of its own, with what have and want stand for in words.
func (e *MismatchError) Differences(have, want string) string {
	var b strings.Builder
	for _, f := range e.Fields {
		fmt.Fprintf(&b, "\n  %s: %s has %s, %s has %s", f.Name, have, orNone(f.Have), want, orNone(f.Want))
	}
	return b.String()
}

func orNone(value string) string {
	if value == "" {
		return "none"
	}
	return value
}

// flatten maps the dotted path of each value of a configuration to its JSON. A list is one value. What is not a JSON
// object has no paths; its hash is compared all the same.
func flatten(config json.RawMessage) map[string]string {
	flat := make(map[string]string)
	var walk func(path string, raw json.RawMessage)
	walk = func(path string, raw json.RawMessage) {
		var object map[string]json.RawMessage
		if bytes.HasPrefix(raw, []byte("{")) && json.Unmarshal(raw, &object) == nil && len(object) > 0 {
			for key, value := range object {
				walk(strings.TrimPrefix(path+"."+key, "."), value)
			}
			return
		}
		if path != "" {
			flat[path] = string(raw)
		}
	}
	walk("", config)
	return flat
}
