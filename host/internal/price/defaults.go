package price

// figure is a price in dollars per second, and where it is from.
type figure struct {
	name    string
	dollars float64
	source  string
	date    string // on which the source said so
}

// The source of every default is Modal's list of prices, as public documents quote it that name the page and the day on
// which they read it; several, from May to October 2026, agree. What none of them quotes has no default.
const listed = "https://modal.com/pricing"

// A Sandbox costs more than a Function, which is what most people quote. Of the two prices for its memory that are
// quoted, 0.00000667 and 0.00000672, this is the dearer one: a bound may be too high, not too low.
var (
	defaultCPU    = figure{"cpu_core", 0.00003942, listed, "2026-09-01"} // a physical core, in a Sandbox
	defaultMemory = figure{"memory_gib", 0.00000672, listed, "2026-07-09"}
)

var defaultGPUs = []figure{
	{"T4", 0.000164, listed, "2026-09-01"},
	{"L4", 0.000222, listed, "2026-09-01"},
	{"A10", 0.000306, listed, "2026-09-01"},
	{"L40S", 0.000542, listed, "2026-09-01"},
	{"A100-40GB", 0.000583, listed, "2026-09-01"},
	{"A100-80GB", 0.000694, listed, "2026-09-01"},
	{"RTX-PRO-6000", 0.000842, listed, "2026-09-01"},
	{"H100", 0.001097, listed, "2026-09-01"},
	{"H200", 0.001261, listed, "2026-09-01"},
	{"B200", 0.001736, listed, "2026-09-01"},
	{"B300", 0.001972, listed, "2026-09-01"},
}

// sameAs are names under which Modal sells a GPU for the price of another. An "A100" may turn out to be one of 80 GB, an
// "H100" an H200 and a "B200+" a B300, at no other price, as Modal says (https://modal.com/docs/guide/gpu).
var sameAs = map[string]string{"A10G": "A10", "A100": "A100-40GB", "H100!": "H100", "B200+": "B200"}
