package device

import (
	"bufio"
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mtt-project/mtt/host/internal/exactness"
)

// findCPU returns the processor and the name of its model; what the system does not say is empty. The processors of a
// machine are taken to be alike.
func findCPU() (exactness.CPU, string) {
	fields := map[string]string{}
	if file, err := os.Open(filepath.Join(root, "proc/cpuinfo")); err == nil {
		defer file.Close()
		for lines := bufio.NewScanner(file); lines.Scan() && lines.Text() != ""; { // an empty line ends a processor
			name, value, _ := strings.Cut(lines.Text(), ":")
			fields[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	if fields["CPU implementer"] != "" { // arm64
		return exactness.CPU{
			Vendor: fields["CPU implementer"], Family: fields["CPU architecture"], Model: fields["CPU part"],
			Stepping: fields["CPU variant"] + " " + fields["CPU revision"], Features: sorted(strings.Fields(fields["Features"])),
		}, fields["CPU implementer"] + " " + fields["CPU part"]
	}
	features := slices.DeleteFunc(strings.Fields(fields["flags"]), func(flag string) bool { return !calculates(flag) })
	return exactness.CPU{
		Vendor: fields["vendor_id"], Family: fields["cpu family"], Model: fields["model"], Stepping: fields["stepping"], Features: sorted(features),
	}, cmp.Or(fields["model name"], brand())
}

func sorted(words []string) string {
	slices.Sort(words)
	return strings.Join(slices.Compact(words), " ")
}

// instructionSets are how the names begin of the flags of x86 processors, as Linux has them, for which XLA compiles and
// among which libraries choose when they are loaded. The others, such as those of mitigations, come and go with the kernel.
var instructionSets = []string{
	"mmx", "3dnow", "sse", "ssse", "pni", "avx", "fma", "f16c", "xop", "amx", "bmi", "tbm", "abm", "popcnt", "movbe", "adx",
	"aes", "vaes", "pclmul", "vpclmul", "gfni", "sha", "sm3", "sm4", "fxsr", "xsave", "prefetchw",
}

func calculates(flag string) bool {
	return slices.ContainsFunc(instructionSets, func(set string) bool { return strings.HasPrefix(flag, set) })
}

// hostFeatures are those by which the mathematics of Go and of the C library choose, which is all that the processor
// calculates where a GPU trains.
var hostFeatures = []string{"fma", "fma4", "avx2", "asimd"}

func hostCPU() exactness.CPU {
	cpu, _ := findCPU()
	features := slices.DeleteFunc(strings.Fields(cpu.Features), func(feature string) bool { return !slices.Contains(hostFeatures, feature) })
	return exactness.CPU{Features: sorted(features)}
}
