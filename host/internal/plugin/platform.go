package plugin

import (
	"bytes"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"github.com/mtt-project/mtt/host/internal/exit"
)

// unfit says why the file at path cannot be a plugin on this machine, as far as its content tells: an error with
// exit.Plugin that calls it name, or nil. It is asked about a file that has failed to start: one for another platform may
// well start, where the system has an emulator for it.
func unfit(name, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return nil // which is known already
	}
	defer file.Close()
	head := headOf(file)
	if bytes.HasPrefix(head, scriptMagic) {
		return unfitScript(name, head)
	}
	platform, err := platformOf(file, head)
	here := runtime.GOOS + "/" + runtime.GOARCH
	switch {
	case errors.Is(err, errNoExecutable):
		return exit.Errorf(exit.Plugin, "%s is no plugin: it is neither an executable nor a script that begins with #!", name).Hint(askByHand)
	case err != nil:
		return exit.Errorf(exit.Plugin, "%s is no plugin: it is an executable that was cut off or damaged: %w", name, err).
			Hint("Copy or build it again.")
	case platform != here:
		return exit.Errorf(exit.Plugin, "%s is no plugin for this machine: it is an executable for %s, and this is %s", name, platform, here).
			Hint("Build it for this machine (GOOS=%s GOARCH=%s go build), or name the directory of its source.", runtime.GOOS, runtime.GOARCH)
	}
	loader, err := loaderOf(file)
	if err == nil && loader != "" && !exists(loader) {
		return exit.Errorf(exit.Plugin, "%s is no plugin for this machine: the loader of its libraries, %s, does not exist", name, loader).
			Hint("Build it on this machine, or with CGO_ENABLED=0, which needs no libraries.")
	}
	return nil
}

// isProgram says whether a file is a program by its content.
func isProgram(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	head := headOf(file)
	if bytes.HasPrefix(head, scriptMagic) {
		return true
	}
	_, err = platformOf(file, head)
	return !errors.Is(err, errNoExecutable)
}

// headOf is the beginning of a file, which says what kind it is.
func headOf(file io.ReaderAt) []byte {
	head := make([]byte, 256)
	n, _ := file.ReadAt(head, 0)
	return head[:n]
}

var scriptMagic = []byte("#!")

func unfitScript(name string, head []byte) error {
	line, _, _ := strings.Cut(string(head), "\n")
	command := strings.TrimSpace(strings.TrimPrefix(line, "#!"))
	interpreter, _, _ := strings.Cut(command, " ")
	switch {
	case strings.HasSuffix(line, "\r"):
		return exit.Errorf(exit.Plugin, "%s is no plugin: it is a script whose lines end in CR LF, so that its interpreter is taken for %q", name, command+"\r").
			Hint(`Write it with LF alone: tr -d '\r' < SCRIPT > NEW`)
	case !exists(interpreter):
		return exit.Errorf(exit.Plugin, "%s is no plugin: it is a script whose interpreter, %q, does not exist", name, interpreter).
			Hint("Install the interpreter, or name another one in the script's first line.")
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

var errNoExecutable = errors.New("not an executable")

// platformOf says what an executable was built for, such as linux/amd64. errNoExecutable: it is none; any other error says
// what of it is missing.
func platformOf(file *os.File, head []byte) (string, error) {
	switch {
	case bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		return elfPlatform(file)
	case isMachO(head):
		return machoPlatform(file, head)
	case bytes.HasPrefix(head, []byte("MZ")):
		executable, err := pe.NewFile(file)
		if err != nil {
			return "", err
		}
		return "windows/" + machineName(peMachines, executable.Machine), nil
	default:
		return "", errNoExecutable
	}
}

func elfPlatform(file *os.File) (string, error) {
	executable, err := elf.NewFile(file)
	if err != nil {
		return "", err
	}
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	for _, segment := range executable.Progs {
		if end := segment.Off + segment.Filesz; end > uint64(info.Size()) {
			return "", fmt.Errorf("it has %d bytes of %d: %w", info.Size(), end, io.ErrUnexpectedEOF)
		}
	}
	if executable.Type != elf.ET_EXEC && executable.Type != elf.ET_DYN {
		return "", errNoExecutable
	}
	system, machine := "linux", machineName(elfMachines, executable.Machine)
	if executable.OSABI != elf.ELFOSABI_NONE && executable.OSABI != elf.ELFOSABI_LINUX {
		system = strings.ToLower(strings.TrimPrefix(executable.OSABI.String(), "ELFOSABI_"))
	}
	if executable.Machine == elf.EM_X86_64 && executable.Class != elf.ELFCLASS64 {
		machine = "x32"
	}
	return system + "/" + machine, nil
}

func isMachO(head []byte) bool {
	for _, magic := range [][]byte{{0xcf, 0xfa, 0xed, 0xfe}, {0xce, 0xfa, 0xed, 0xfe}, {0xca, 0xfe, 0xba, 0xbe}} {
		if bytes.HasPrefix(head, magic) {
			return true
		}
	}
	return false
}

func machoPlatform(file *os.File, head []byte) (string, error) {
	if head[0] == 0xca { // for several processors
		if _, err := macho.NewFatFile(file); err != nil {
			return "", err
		}
		return "darwin", nil
	}
	executable, err := macho.NewFile(file)
	if err != nil {
		return "", err
	}
	return "darwin/" + machineName(machoMachines, executable.Cpu), nil
}

// The processors as Go calls them.
var (
	elfMachines   = map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64", elf.EM_386: "386", elf.EM_ARM: "arm", elf.EM_RISCV: "riscv64", elf.EM_PPC64: "ppc64le", elf.EM_S390: "s390x"}
	machoMachines = map[macho.Cpu]string{macho.CpuAmd64: "amd64", macho.CpuArm64: "arm64"}
	peMachines    = map[uint16]string{pe.IMAGE_FILE_MACHINE_AMD64: "amd64", pe.IMAGE_FILE_MACHINE_ARM64: "arm64", pe.IMAGE_FILE_MACHINE_I386: "386"}
)

// machineName is the name of a processor, or its number where it has none.
func machineName[M comparable](names map[M]string, machine M) string {
	if name, ok := names[machine]; ok {
		return name
	}
	return fmt.Sprint(machine)
}

// loaderOf is the program that loads the libraries of an executable; "" for one that needs none, or is not ELF.
func loaderOf(file io.ReaderAt) (string, error) {
	executable, err := elf.NewFile(file)
	if _, ok := errors.AsType[*elf.FormatError](err); ok {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for _, segment := range executable.Progs {
		if segment.Type != elf.PT_INTERP {
			continue
		}
		raw := make([]byte, min(segment.Filesz, 4096))
		_, err := segment.ReadAt(raw, 0)
		return string(bytes.TrimRight(raw, "\x00")), err
	}
	return "", nil
}
