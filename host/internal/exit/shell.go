package exit

import (
	"regexp"
	"strings"
)

var plainWord = regexp.MustCompile(`^[a-zA-Z0-9_@%+=:,./-]+$`)

// ShellText writes a word as a shell reads it, for a command in a Hint that a person may copy.
func ShellText(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
