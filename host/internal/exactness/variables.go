package exactness

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// What numeric libraries read: XLA and what it is made of, GoMLX, CUDA's libraries, and those under Python's.
var (
	numericPrefixes = []string{
		"XLA_", "PJRT_", "GOPJRT_", "GOMLX_", "TF_", "TSL_", "JAX_", "TORCH_", "PYTORCH_", "TRITON_",
		"CUDA_", "NVIDIA_", "CUBLAS_", "CUBLASLT_", "CUDNN_", "CUFFT_", "CUSOLVER_", "CUSPARSE_", "NCCL_", "HIP_", "ROCM_", "ROCBLAS_", "MIOPEN_",
		"OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "BLIS_", "VECLIB_", "DNNL_", "ONEDNN_", "EIGEN_", "NUMEXPR_", "NUMBA_", "NPY_",
	}
	numericNames = []string{"NPROC", "GOTO_NUM_THREADS", "GLIBC_TUNABLES", "PYTHONHASHSEED"}
	// foreignPrefixes begin like those of TensorFlow, and are Terraform's, which may have credentials in them.
	foreignPrefixes = []string{
		"TF_VAR_", "TF_CLI_", "TF_TOKEN_", "TF_CLOUD_", "TF_HTTP_", "TF_LOG", "TF_WORKSPACE", "TF_DATA_DIR", "TF_INPUT",
		"TF_IN_AUTOMATION", "TF_REGISTRY_", "TF_PLUGIN_", "TF_REATTACH_", "TF_STATE_", "TF_ENCRYPTION", "TF_APPEND_", "TF_PROVIDER_",
	}
	// credentials are in names such as NVIDIA_API_KEY, by which no library calculates.
	credentials = []string{"_KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL"}
)

// ThreadVariables are those from which XLA takes the number of its threads on the CPU, the first that is set.
var ThreadVariables = []string{"PJRT_NPROC", "NPROC"}

// maxThreads is more than any system that mtt knows has processors.
const maxThreads = 8192

// Threads is the number of threads that the value of one of them stands for; 0 for none.
func Threads(value string) int {
	if n, err := strconv.Atoi(value); err == nil && n > 0 && n <= maxThreads {
		return n
	}
	return 0
}

// CheckThreads refuses a value of a variable that can be no number of threads.
func CheckThreads(name, value string) error {
	if slices.Contains(ThreadVariables, name) && Threads(value) == 0 {
		return fmt.Errorf("%s=%s: want a number of threads, from 1 to %d", name, value, maxThreads)
	}
	return nil
}

// Numeric says whether numeric libraries may read a variable. A plugin gets those of the host's environment.
func Numeric(name string) bool {
	begins := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
	contains := func(word string) bool { return strings.Contains(name, word) }
	return (slices.Contains(numericNames, name) || slices.ContainsFunc(numericPrefixes, begins)) &&
		!slices.ContainsFunc(foreignPrefixes, begins) && !slices.ContainsFunc(credentials, contains)
}

// named change what is calculated as well, and reach a plugin only if the user names them.
var named = []string{
	"GODEBUG",    // takes features of the processor away from Go's mathematics
	"LD_PRELOAD", // puts other functions in the place of a library's
}

// harmless are numeric variables that change no bit, each with its reason.
var harmless = map[string]string{
	"GOMLX_BACKEND":         "the device is a part of its own",
	"GOMLX_NO_AUTO_INSTALL": "says whether something is downloaded; mtt sets it",
	"GOPJRT_CUDA_CHECKS":    "warns or does not",
	"NPROC":                 "XLA's threads are a part of their own",
	"PJRT_NPROC":            "XLA's threads are a part of their own",

	"CUDA_VISIBLE_DEVICES":   "selects devices; their model and number are parts of their own",
	"CUDA_DEVICE_ORDER":      "selects devices",
	"NVIDIA_VISIBLE_DEVICES": "selects what a container gets",
	"HIP_VISIBLE_DEVICES":    "selects devices",
	"JAX_PLATFORMS":          "selects the device",
	"JAX_PLATFORM_NAME":      "selects the device",

	"PJRT_PLUGIN_LIBRARY_PATH":  "a directory; the digest of the plugin that was found in it is a part of its own",
	"CUDA_HOME":                 "a directory of tools that XLA does not look into",
	"CUDA_PATH":                 "a directory, as CUDA_HOME",
	"CUDA_CACHE_PATH":           "a directory for what the driver has compiled",
	"CUDA_CACHE_MAXSIZE":        "the size of that directory",
	"CUDA_CACHE_DISABLE":        "whether that directory is used",
	"JAX_COMPILATION_CACHE_DIR": "a directory for what XLA has compiled",
	"TORCH_HOME":                "a directory for models",
	"TRITON_CACHE_DIR":          "a directory for what Triton has compiled",
	"NUMBA_CACHE_DIR":           "a directory for what Numba has compiled",

	"CUDA_VERSION":               "labels a container's image; the libraries in it are a part of their own",
	"NVIDIA_REQUIRE_CUDA":        "labels a container's image",
	"NVIDIA_DRIVER_CAPABILITIES": "selects what a container gets",
	"NVIDIA_PRODUCT_NAME":        "labels a container's image",

	"TF_CPP_MIN_LOG_LEVEL":  "what is logged",
	"TF_CPP_MAX_LOG_LEVEL":  "what is logged",
	"TF_CPP_MAX_VLOG_LEVEL": "what is logged",
	"TF_CPP_MIN_VLOG_LEVEL": "what is logged",
	"TF_CPP_VMODULE":        "what is logged",
	"NCCL_DEBUG":            "what is logged",
	"NCCL_DEBUG_FILE":       "where it is logged",
	"OMP_DISPLAY_ENV":       "what is logged",
}

// Variables returns those of a plugin's environment that can change a bit, in a form in which what means the same is the
// same. Values of the secret ones are hashed.
func Variables(environment map[string]string, secret func(name string) bool) map[string]string {
	variables := map[string]string{}
	for name, value := range environment {
		if _, known := harmless[name]; known || !Numeric(name) && !slices.Contains(named, name) {
			continue
		}
		switch name {
		case "XLA_FLAGS":
			if value = canonicalFlags(value); value == "" {
				continue // as good as unset
			}
		case "GODEBUG":
			value = canonicalSettings(value)
		}
		if secret(name) {
			value = hash(value)
		}
		variables[name] = value
	}
	return variables
}

// hashed is how a hashed value begins.
const hashed = "sha256:"

func hash(value string) string {
	if isHash(value) {
		return value
	}
	sum := sha256.Sum256([]byte(value))
	return hashed + hex.EncodeToString(sum[:])
}

func isHash(value string) bool {
	return strings.HasPrefix(value, hashed) && len(value) == len(hashed)+2*sha256.Size
}
