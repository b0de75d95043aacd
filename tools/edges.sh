#!/usr/bin/env bash
# The walls between the parts: which of our modules a module may import, and which packages may import a library.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0

# may MODULE ALLOWED... : the module imports no other module of ours.
may() {
	local module=$1 imported
	shift
	imported=$(cd "$module" && go list -f '{{join .Imports "\n"}}
{{join .TestImports "\n"}}
{{join .XTestImports "\n"}}' ./... | grep '^github.com/mtt-project/mtt/' | sort -u || true)
	for package in $imported; do
		local edge=${package#github.com/mtt-project/mtt/} ok=0
		for allowed in "$module" "$@"; do
			case "$edge" in "$allowed" | "$allowed"/*) ok=1 ;; esac
		done
		# sdk/gomlx is a module of its own below sdk.
		if [ "$edge" = sdk/gomlx ] || [[ "$edge" == sdk/gomlx/* ]]; then
			ok=0
			for allowed in "$module" "$@"; do [ "$allowed" = sdk/gomlx ] && ok=1; done
		fi
		if [ $ok = 0 ]; then
			echo "edges: $module must not import $package" >&2
			failed=1
		fi
	done
}

# only LIBRARY PACKAGE... : within host, no other package imports the library.
only() {
	local library=$1 importers
	shift
	importers=$(cd host && go list -f '{{.ImportPath}}: {{join .Imports " "}}' ./... | grep -E " $library(/|\$| )" | cut -d: -f1 || true)
	for importer in $importers; do
		local ok=0
		for allowed in "$@"; do [ "$importer" = "github.com/mtt-project/mtt/host/$allowed" ] && ok=1; done
		if [ $ok = 0 ]; then
			echo "edges: $importer must not import $library" >&2
			failed=1
		fi
	done
}

may proto
may host proto              # the host never needs an SDK or a framework
may sdk proto               # an author's build never pulls the host in
may sdk/gomlx sdk
may plugins sdk sdk/gomlx proto # proto for plugins/faulty, which breaks rules on the wire
may bench sdk sdk/gomlx plugins/train/digits # it drives the host as a program, and nobody imports it
only github.com/hashicorp/go-plugin internal/plugin
only github.com/modal-labs/libmodal internal/backend/modal/api internal/modalfake internal/modalfake/newer internal/modalfake/faketest
if (cd host && go list -deps ./cmd/mtt-host | grep -q '/internal/modalfake'); then
	echo "edges: what users run must not have the fake in it" >&2
	failed=1
fi
if (cd host && go list -deps ./... | grep -q '^github.com/gomlx/'); then
	echo "edges: host must not import GoMLX" >&2
	failed=1
fi
if (cd plugins && go list -f '{{.ImportPath}}: {{join .Imports " "}}' ./... | grep -v '/faulty' | grep -E ' github.com/mtt-project/mtt/proto| github.com/hashicorp/go-plugin'); then
	echo "edges: an experiment speaks to the SDK alone" >&2
	failed=1
fi
if (cd host && go list -deps ./internal/follow | grep -q '/internal/backend'); then
	echo "edges: what follows a run knows no backend" >&2
	failed=1
fi
exit $failed
