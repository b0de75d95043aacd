package plugin

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mtt-project/mtt/host/internal/exit"
	"github.com/mtt-project/mtt/host/internal/run"
)

// modalPlatform is what Modal's machines are.
const modalPlatform = "linux/amd64"

// Inspect looks at what an executable needs, without running it. exit.Usage: it is none for Linux on amd64.
func Inspect(path string) (needs run.Needs, err error) {
	file, err := os.Open(path)
	if err != nil {
		return needs, exit.Errorf(exit.NotFound, "cannot read the plugin: %w", err)
	}
	defer file.Close()
	head := headOf(file)
	if bytes.HasPrefix(head, scriptMagic) {
		return needs, exit.Errorf(exit.Usage, "%s is a script, and a plugin for Modal has to be an executable for %s", path, modalPlatform).Hint(waysOut)
	}
	platform, err := platformOf(file, head)
	if err == nil && platform != modalPlatform {
		return needs, exit.Errorf(exit.Usage, "%s is an executable for %s, and Modal's machines are %s", path, platform, modalPlatform).Hint(waysOut)
	}
	if err == nil {
		needs, err = needsOf(file)
	}
	if err != nil {
		return needs, exit.Errorf(exit.Usage, "%s is no executable for %s: %w", path, modalPlatform, err).Hint(waysOut)
	}
	return needs, nil
}

func needsOf(file *os.File) (needs run.Needs, err error) {
	if needs.Interpreter, err = loaderOf(file); err != nil {
		return needs, err
	}
	executable, err := elf.NewFile(file)
	if err != nil {
		return needs, err
	}
	libraries, err := executable.DynamicVersionNeeds()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return needs, err
	}
	for _, library := range libraries {
		for _, need := range library.Needs {
			if version, ok := strings.CutPrefix(need.Dep, "GLIBC_"); ok && older(needs.Glibc, version) {
				needs.Glibc = version
			}
		}
	}
	return needs, nil
}

const waysOut = "Give one that was built for it with --binary FILE; or have it built on Modal, from source, with --build."

// RunsIn refuses an executable that cannot start in an image, as far as is known of the image. exit.Usage. unsure says
// what is not known, and so was not looked at; "" for nothing.
func RunsIn(needs run.Needs, name, image string) (unsure string, err error) {
	if needs.Interpreter == "" {
		return "", nil
	}
	const remedy = "Name a newer image with --image, build on an older system, with CGO_ENABLED=0, or on Modal with --build."
	has, known := libraryOf(image)
	ofMusl := strings.Contains(needs.Interpreter, "musl")
	switch {
	case !known && ofMusl:
		return fmt.Sprintf("it is not known whether the image %s has musl, which %s needs", image, name), nil
	case !known:
		return fmt.Sprintf("it is not known whether the image %s has glibc %s or a newer one, which %s needs", image, needs.Glibc, name), nil
	case has == musl && !ofMusl:
		return "", exit.Errorf(exit.Usage, "%s needs the GNU C library, and the image %s has musl", name, image).Hint("%s", remedy)
	case has != musl && older(has, needs.Glibc):
		return "", exit.Errorf(exit.Usage, "%s needs glibc %s, and the image %s has %s", name, needs.Glibc, image, has).Hint("%s", remedy)
	default:
		return "", nil
	}
}

// older compares versions such as 2.9 and 2.34; "" is older than all.
func older(a, b string) bool {
	return slices.Compare(numbers(a), numbers(b)) < 0
}

func numbers(version string) (parts []int) {
	for part := range strings.SplitSeq(version, ".") {
		if n, err := strconv.Atoi(part); err == nil {
			parts = append(parts, n)
		}
	}
	return parts
}

// musl is a C library that has no versions of symbols.
const musl = "musl"

// libraries are the C libraries of releases, by what their images are called. The versions are those of the packages
// libc6 of Debian (https://packages.debian.org/libc6) and Ubuntu (https://packages.ubuntu.com/libc6).
var libraries = []struct {
	image *regexp.Regexp
	glibc string
}{
	{regexp.MustCompile(`alpine`), musl},
	{regexp.MustCompile(`^debian:(11|bullseye)|[-:]bullseye`), "2.31"},
	{regexp.MustCompile(`^debian:(12|bookworm)|[-:]bookworm`), "2.36"},
	{regexp.MustCompile(`^debian:(13|trixie)|[-:]trixie`), "2.41"},
	{regexp.MustCompile(`^ubuntu:(20\.04|focal)|ubuntu20\.04`), "2.31"},
	{regexp.MustCompile(`^ubuntu:(22\.04|jammy)|ubuntu22\.04`), "2.35"},
	{regexp.MustCompile(`^ubuntu:(24\.04|noble)|ubuntu24\.04`), "2.39"},
}

// libraryOf is the C library of an image that is known by its reference.
func libraryOf(image string) (version string, known bool) {
	image, _, _ = strings.Cut(image, "@")
	name := path.Base(image) // without the registry and the account
	for _, l := range libraries {
		if l.image.MatchString(name) {
			return l.glibc, true
		}
	}
	return "", false
}
