package wire

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	namePattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	blobPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,127}$`)
)

// ReservedTagPrefix begins the tags that are the host's own.
const ReservedTagPrefix = "mtt/"

// ReservedBlobPrefix begins the names of the host's own files beside the blobs.
const ReservedBlobPrefix = "manifest.json"

// ValidName says whether name can be that of an experiment or a checkpoint prefix.
func ValidName(name string) bool { return namePattern.MatchString(name) }

// ValidBlobName says whether name can be that of a blob.
func ValidBlobName(name string) bool {
	return blobPattern.MatchString(name) && !strings.HasPrefix(name, ReservedBlobPrefix)
}

// blobNames are the names in one stream.
type blobNames map[string]bool

// add refuses a name that the rules of BlobFrame do not allow.
func (n blobNames) add(name string) error {
	switch {
	case !ValidBlobName(name):
		return brokenf("%q cannot be the name of a blob: 1 to 128 lower-case letters, digits, '.', '_' and '-', not beginning with %s", name, ReservedBlobPrefix)
	case n[name]:
		return brokenf("two blobs are called %q", name)
	case len(n) == MaxBlobs:
		return brokenf("more than %d blobs", MaxBlobs)
	}
	n[name] = true
	return nil
}

// CheckTag says what is wrong with the tag of a metric. Control characters are refused because no viewer shows them, a
// terminal obeys them, and JSON makes six bytes of one: a manifest has room for two bytes for each of a tag's.
func CheckTag(tag string) error {
	switch {
	case tag == "":
		return fmt.Errorf("the tag of a metric is empty")
	case len(tag) > MaxTagBytes:
		return fmt.Errorf("the tag %.40q… has %d bytes: at most %d", tag, len(tag), MaxTagBytes)
	case !utf8.ValidString(tag):
		return fmt.Errorf("the tag %q is not UTF-8", tag)
	case strings.ContainsFunc(tag, unicode.IsControl):
		return fmt.Errorf("the tag %.40q has a control character", tag)
	case strings.HasPrefix(tag, ReservedTagPrefix):
		return fmt.Errorf("the tag %q begins with %q, which is reserved for mtt itself", tag, ReservedTagPrefix)
	default:
		return nil
	}
}
