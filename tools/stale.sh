#!/usr/bin/env bash
# Fails when the committed Go code of the wire is not what its .proto files generate now.
set -euo pipefail
cd "$(dirname "$0")/.."
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
.tools/buf generate -o "$fresh"
diff -r -x '*.proto' -x baseline.binpb "$fresh/proto/mtt" proto/mtt || {
	echo "stale: the generated code is not that of the .proto files; run: make generate" >&2
	exit 1
}
