package plugin

import (
	"os"
	"regexp"
	"slices"
	"strings"
)

// settings are the variables of the go command by which a build can fail that the source has no part in.
var settings = []string{"GOFLAGS", "GOPATH", "GOTOOLCHAIN", "GOPROXY", "GOSUMDB", "GOROOT", "GOWORK", "GO111MODULE", "GOEXPERIMENT", "GOAMD64", "GOARM64", "GOVCS", "CC"}

// ofSource begins a line about a place in the source, which may have any words in it.
var ofSource = regexp.MustCompile(`^\S+\.go:\d+:`)

// notFetched ends a line about a place that imports a module which the go command was not allowed to fetch.
const notFetched = "module lookup disabled by GOPROXY=off"

// settingBehind returns the name of the setting that the go command complains of, by its name or its value; "" for none.
func settingBehind(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		switch {
		case strings.Contains(line, notFetched):
			return "GOPROXY"
		case !ofSource.MatchString(line):
			lines = append(lines, line)
		case strings.Contains(line, "cannot find package") && os.Getenv("GO111MODULE") == "off":
			return "GO111MODULE"
		}
	}
	for _, name := range settings {
		word := regexp.MustCompile(`\b` + name + `\b`)
		if slices.ContainsFunc(lines, func(line string) bool { return word.MatchString(line) && !hasAdvice(line) }) {
			return name
		}
	}
	for _, name := range settings {
		for _, value := range values(name) {
			if slices.ContainsFunc(lines, func(line string) bool { return isOfCommand(line) && strings.Contains(line, value) }) {
				return name
			}
		}
	}
	return ""
}

// hasAdvice holds for a line in which the go command says what could be set, which is not what is wrong.
func hasAdvice(line string) bool {
	return strings.Contains(line, "GOWORK=off") || strings.Contains(line, "neither GOMODCACHE nor GOPATH is set")
}

// isOfCommand says whether the go command speaks of itself.
func isOfCommand(line string) bool {
	return strings.HasPrefix(line, "go: ") || strings.HasPrefix(line, "cgo: ")
}

// values are what a message may quote of a setting: its value, and of flags their names.
func values(name string) []string {
	value := os.Getenv(name)
	if name != "GOFLAGS" {
		return slices.DeleteFunc([]string{value}, func(v string) bool { return len(v) < 3 })
	}
	flags := strings.Fields(value)
	for i, flag := range flags {
		flags[i], _, _ = strings.Cut(flag, "=")
	}
	return flags
}
