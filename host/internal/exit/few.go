package exit

import (
	"fmt"
	"strings"
)

// Few lists names for a message, at most so many, and counts the others.
func Few(names []string, most int) string {
	text := strings.Join(names[:min(most, len(names))], ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
