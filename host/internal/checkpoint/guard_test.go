package checkpoint

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func withConfig(config string) Identity {
	i := sampleManifest().Identity
	i.Config, i.ConfigSHA256 = []byte(config), fmt.Sprintf("%x", sha256.Sum256([]byte(config)))
	return i
}

func TestGuardNamesEveryFieldThatDiffers(t *testing.T) {
	changed := func(change func(*Identity)) Identity {
		i := withConfig(`{"a":1}`)
		change(&i)
		return i
	}
	saved := withConfig(`{"a":1,"b":{"c":2,"d":[3]},"e":{}}`)
	for name, test := range map[string]struct {
		want, have Identity
		fields     []Field
	}{
		"the same":       {saved, saved, nil},
		"experiment":     {changed(func(i *Identity) { i.Experiment = "gpt" }), withConfig(`{"a":1}`), []Field{{"experiment", "gpt", "digits"}}},
		"prefix":         {changed(func(i *Identity) { i.Prefix = "gpt" }), withConfig(`{"a":1}`), []Field{{"prefix", "gpt", "digits-mlp"}}},
		"run":            {changed(func(i *Identity) { i.RunID = "b" }), withConfig(`{"a":1}`), []Field{{"run_id", "b", "quiet-fox"}}},
		"seed":           {changed(func(i *Identity) { i.Seed = 0 }), withConfig(`{"a":1}`), []Field{{"seed", "0", "18446744073709551615"}}},
		"code":           {changed(func(i *Identity) { i.PluginSHA256 = "00" }), withConfig(`{"a":1}`), []Field{{"plugin_sha256", "00", strings.Repeat("ab", 32)}}},
		"a key added":    {withConfig(`{"a":1,"z":0}`), withConfig(`{"a":1}`), []Field{{"config.z", "0", ""}}},
		"a key removed":  {withConfig(`{}`), withConfig(`{"a":1}`), []Field{{"config.a", "", "1"}}},
		"a key emptied":  {withConfig(`{"a":""}`), withConfig(`{}`), []Field{{"config.a", `""`, ""}}},
		"keys in keys":   {withConfig(`{"a":1,"b":{"c":3,"d":[3,4]},"e":{}}`), saved, []Field{{"config.b.c", "3", "2"}, {"config.b.d", "[3,4]", "[3]"}}},
		"an object gone": {withConfig(`{"a":1,"b":null,"e":{}}`), saved, []Field{{"config.b", "null", ""}, {"config.b.c", "", "2"}, {"config.b.d", "", "[3]"}}},
		"only the form": {withConfig(`{"a.b":1}`), withConfig(`{"a":{"b":1}}`), []Field{{"config_sha256",
			withConfig(`{"a.b":1}`).ConfigSHA256, withConfig(`{"a":{"b":1}}`).ConfigSHA256}}},
		"big integers": {withConfig(`{"a":9007199254740993}`), withConfig(`{"a":9007199254740992}`), []Field{{"config.a", "9007199254740993", "9007199254740992"}}},
	} {
		t.Run(name, func(t *testing.T) {
			m := sampleManifest()
			m.Identity = test.have
			err := Guard(test.want, m)
			if test.fields == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			mismatch, ok := errors.AsType[*MismatchError](err)
			if !ok || mismatch.ID != m.ID || !slices.Equal(mismatch.Fields, test.fields) {
				t.Fatalf("have %v", err)
			}
			for _, f := range test.fields {
				if !strings.Contains(err.Error(), f.Name+": ") || !strings.Contains(err.Error(), f.Want) || !strings.Contains(err.Error(), f.Have) {
					t.Errorf("the error leaves out %+v: %v", f, err)
				}
			}
		})
	}
}
