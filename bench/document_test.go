package main

import (
	"strings"
	"testing"
)

func TestOnlyTheSectionIsReplaced(t *testing.T) {
	const document = "# Title\n<!-- begin: a -->\nold\n<!-- end: a -->\nbetween\n<!-- begin: b -->\n<!-- end: b -->\nafter\n"
	once, err := replaceSection(document, "a", "new\n")
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(document, "\nold\n", "\n\nnew\n\n", 1); once != want {
		t.Errorf("got %q, want %q", once, want)
	}
	if twice, err := replaceSection(once, "a", "new\n"); err != nil || twice != once {
		t.Errorf("the second time: %q, %v", twice, err)
	}
	if _, err := replaceSection(document, "c", "new"); err == nil {
		t.Error("a section that is not there was replaced")
	}
}
