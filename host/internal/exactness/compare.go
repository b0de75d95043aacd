package exactness

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// part is one part of a key, for comparison.
type part struct {
	name  string
	since int // version of the keys that have it
	// ofDevice says that it follows from the device: if that is another one, it says nothing more.
	ofDevice bool
	value    func(Key) string
}

var parts = []part{
	{"plugin", 1, false, func(k Key) string { return k.PluginSHA256 }},
	{"device", 1, false, func(k Key) string { return k.Device }},
	{"GOARCH", 1, false, func(k Key) string { return k.GOARCH }},
	{"device model", 1, true, func(k Key) string { return k.DeviceModel }},
	{"PJRT plugin", 1, true, func(k Key) string { return k.PJRTSHA256 }},
	{"number of devices", 2, true, func(k Key) string { return number(k.Devices) }},
	{"GPU driver", 2, true, func(k Key) string { return k.Driver }},
	{"CPU", 2, true, func(k Key) string { return k.CPU.name() }},
	{"CPU features", 2, true, func(k Key) string { return k.CPU.Features }},
	{"XLA threads", 2, true, func(k Key) string { return number(k.Threads) }},
	{"shared libraries", 2, false, func(k Key) string { return k.Libraries }},
}

// whole are the parts that are compared piece by piece.
var whole = []string{"variables", "data"}

// Differences says in words, one for each part, what is another in the key now than in the one before, and which parts
// nobody recorded. There are none if what is trained under the one goes on exactly under the other.
func Differences(was, now Key) []string {
	var found, unrecorded []string
	for _, p := range parts {
		if p.ofDevice && was.Device != now.Device {
			continue
		}
		if p.since > min(was.version(), now.version()) {
			unrecorded = append(unrecorded, p.name)
			continue
		}
		found = append(found, difference(p.name, p.value(was), p.value(now))...)
	}
	if min(was.version(), now.version()) < 2 {
		unrecorded = append(unrecorded, whole...)
	} else {
		found = append(found, variableDifferences(was.Variables, now.Variables)...)
		found = append(found, dataDifferences(was.Data, now.Data)...)
	}
	if len(unrecorded) > 0 {
		found = append(found, "unrecorded by an older mtt-host: "+strings.Join(unrecorded, ", "))
	}
	if newest := max(was.version(), now.version()); newest > Version {
		found = append(found, fmt.Sprintf("recorded by a newer mtt-host: parts of version %d of the key, where this one knows version %d", newest, Version))
	}
	return found
}

func difference(name, was, now string) []string {
	if was == now {
		return nil
	}
	if name == "CPU features" {
		was, now = without(was, now), without(now, was)
	}
	return []string{fmt.Sprintf("%s: was %s, is %s", name, orNone(short(was)), orNone(short(now)))}
}

// without are the words of a text that another one does not have.
func without(text, other string) string {
	words := strings.Fields(other)
	return strings.Join(slices.DeleteFunc(strings.Fields(text), func(word string) bool { return slices.Contains(words, word) }), " ")
}

func variableDifferences(was, now map[string]string) (found []string) {
	for _, name := range union(was, now) {
		before, had := was[name]
		then, has := now[name]
		if had != has || before != then && hash(before) != hash(then) {
			found = append(found, fmt.Sprintf("%s: was %s, is %s", name, setText(before, had), setText(then, has)))
		}
	}
	return found
}

func setText(value string, set bool) string {
	switch {
	case !set:
		return "unset"
	case isHash(value):
		return value[:len(hashed)+12]
	default:
		return strconv.Quote(value)
	}
}

func dataDifferences(was, now map[string]Data) (found []string) {
	for _, name := range union(was, now) {
		before, had := was[name]
		then, has := now[name]
		switch {
		case had != has:
			found = append(found, fmt.Sprintf("data %s: was %s, is %s", name, orNone(before.Source), orNone(then.Source)))
		case before.Contents != "" && then.Contents != "":
			if before.Contents != then.Contents {
				found = append(found, fmt.Sprintf("data %s: its contents were %s, are %s", name, short(before.Contents), short(then.Contents)))
			}
		case before.Source != then.Source:
			found = append(found, fmt.Sprintf("data %s: was %s, is %s, and their contents were not compared", name, before.Source, then.Source))
		case before.Files != then.Files:
			found = append(found, fmt.Sprintf("data %s: a file of %s has another path, size or time (%s, was %s), and contents were not compared",
				name, then.Source, short(then.Files), short(before.Files)))
		}
	}
	return found
}

// Lines are the parts of a key with their names, for people.
func (k Key) Lines() (lines [][2]string) {
	add := func(name, value string) {
		if value != "" {
			lines = append(lines, [2]string{name, value})
		}
	}
	for _, p := range parts {
		add(p.name, short(p.value(k)))
	}
	for _, name := range slices.Sorted(maps.Keys(k.Variables)) {
		add(name, setText(k.Variables[name], true))
	}
	for _, name := range slices.Sorted(maps.Keys(k.Data)) {
		data := k.Data[name]
		text := data.Source + ", files " + short(data.Files)
		if data.Contents != "" {
			text += ", contents " + short(data.Contents)
		}
		add("data "+name, text)
	}
	curves := k.CurvesLost
	if curves == "" && k.version() > 1 {
		curves = "whole"
	}
	add("curves", curves)
	return lines
}

func (c CPU) name() string {
	if c.Vendor+c.Family+c.Model+c.Stepping == "" {
		return ""
	}
	return fmt.Sprintf("%s family %s model %s stepping %s", c.Vendor, c.Family, c.Model, c.Stepping)
}

func union[V any](a, b map[string]V) []string {
	all := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(all)
	return slices.Compact(all)
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// short is what people need of a digest, and any other text as it is.
func short(text string) string {
	if _, err := hex.DecodeString(text); err == nil && len(text) == 2*sha256.Size {
		return text[:12]
	}
	return text
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}
