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

// Inspect looks at what an executable needs, without running it. exit.Usage: it is none for Linux on amd64.
func Inspect(path string) (needs run.Needs, err error) {
	file, err := elf.Open(path)
	if err != nil {
		return needs, notForLinux(path, err)
	}
	defer file.Close()
	if file.Machine != elf.EM_X86_64 || file.Class != elf.ELFCLASS64 || file.OSABI != elf.ELFOSABI_NONE && file.OSABI != elf.ELFOSABI_LINUX {
		return needs, exit.Errorf(exit.Usage, "%s is for %s, and Modal's machines are linux/amd64", path, strings.TrimPrefix(file.Machine.String(), "EM_")).Hint(waysOut)
	}
	if file.Type != elf.ET_EXEC && file.Type != elf.ET_DYN {
		return needs, exit.Errorf(exit.Usage, "%s is no executable", path).Hint(waysOut)
	}
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			raw := make([]byte, min(segment.Filesz, 4096))
			if _, err := segment.ReadAt(raw, 0); err != nil {
				return needs, notForLinux(path, err)
			}
			needs.Interpreter = string(bytes.TrimRight(raw, "\x00"))
		}
	}
	libraries, err := file.DynamicVersionNeeds()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return needs, notForLinux(path, err)
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

// notForLinux says what a file is that is no ELF file.
func notForLinux(path string, err error) error {
	raw := make([]byte, 4)
	if file, openErr := os.Open(path); openErr == nil {
		_, _ = file.Read(raw)
		file.Close()
	}
	switch {
	case bytes.HasPrefix(raw, []byte("#!")):
		return exit.Errorf(exit.Usage, "%s is a script, and a plugin for Modal has to be an executable for linux/amd64", path).Hint(waysOut)
	case bytes.Equal(raw, []byte{0xcf, 0xfa, 0xed, 0xfe}), bytes.Equal(raw, []byte{0xca, 0xfe, 0xba, 0xbe}):
		return exit.Errorf(exit.Usage, "%s is an executable for macOS, and Modal's machines are linux/amd64", path).Hint(waysOut)
	default:
		return exit.Errorf(exit.Usage, "%s is no executable for linux/amd64: %w", path, err).Hint(waysOut)
	}
}

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
