package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
)

// MaxManifestSize in bytes bounds what is read into memory for a manifest. The limits of the wire keep a manifest below
// half of it: 10,000 tags of 512 bytes, each of which may become two in JSON, come twice, with a value and with a step,
// which makes 21 MB; a configuration of 1 MiB and 1000 names in a result grow to less than 10 MB.
const MaxManifestSize = 64 << 20

// Encode returns the file's content: indented JSON whose last field is the sha256 of all bytes before that field. It
// fails rather than return what DecodeManifest would refuse; a *SizeError says that there is too much in it.
func (m *Manifest) Encode() ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false) // The config must keep its bytes, or its hash would not fit.
	enc.SetIndent("", "  ")
	if err := enc.Encode(m); err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	body, ok := bytes.CutSuffix(out.Bytes(), []byte("\n}\n"))
	if !ok {
		return nil, errors.New("encode manifest: not an indented JSON object")
	}
	raw := seal(append(body, ",\n  "...))
	if _, err := DecodeManifest(raw); err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	return raw, nil
}

// DecodeManifest reads what Encode wrote. Any changed byte is an error, and so is a manifest that contradicts itself;
// one of a newer version is a *VersionError. Fields that it does not know are ignored.
func DecodeManifest(raw []byte) (*Manifest, error) {
	if len(raw) > MaxManifestSize {
		return nil, &SizeError{}
	}
	body := raw[:max(0, len(raw)-len(checksum(nil)))]
	if !bytes.Equal(raw[len(body):], checksum(body)) {
		return nil, errors.New("the manifest's checksum is wrong")
	}

	// Before the rest, of which a newer version may have changed the types.
	var head struct{ Version int }
	if err := json.Unmarshal(raw, &head); err != nil {
		return nil, fmt.Errorf("the manifest is not readable: %w", err)
	}
	if head.Version > Version {
		return nil, &VersionError{Have: head.Version}
	}
	if head.Version < 1 {
		return nil, fmt.Errorf("the manifest has version %d", head.Version)
	}

	var m Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("the manifest is not readable: %w", err)
	}
	var config bytes.Buffer
	if err := json.Compact(&config, m.Config); err != nil { // It was indented with the rest.
		return nil, fmt.Errorf("the manifest's config is not readable: %w", err)
	}
	m.Config = config.Bytes()
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("the manifest contradicts itself: %w", err)
	}
	return &m, nil
}

// seal completes a manifest by its last field.
func seal(body []byte) []byte { return append(body, checksum(body)...) }

// checksum is the end of a manifest: always of the same length, and with not a byte of choice in it. It is the same in
// every version.
func checksum(body []byte) []byte {
	return fmt.Appendf(nil, "\"checksum\": \"sha256:%x\"\n}\n", sha256.Sum256(body))
}
