#!/bin/bash
# Builds one of the bench's programs, from Go modules only.
# usage: build.sh collector|loadgen|nullsink|lumbersink DIRECTORY
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=${1:?usage: build.sh collector|loadgen|nullsink|lumbersink DIRECTORY}
mkdir -p "${2:?usage: build.sh collector|loadgen|nullsink|lumbersink DIRECTORY}"
out=$(cd "$2" && pwd)
export CGO_ENABLED=0 TMPDIR=$out/tmp
mkdir "$TMPDIR"
trap 'rm -rf "$out/tmp"' EXIT

case $target in
loadgen | nullsink | lumbersink)
  cd "$here/$target"
  go build -trimpath -o "$out/$target" .
  ;;
collector)
  GOBIN=$out/tools go install go.opentelemetry.io/collector/cmd/builder@v0.155.0
  cp "$here/manifest.yaml" "$out/manifest.yaml"
  cd "$out"
  # The builder's own `go mod tidy` asks for modules that only tests use and that not every proxy serves, so it only
  # writes the sources here, and the compiler fetches what it needs.
  tools/builder --config=manifest.yaml --skip-compilation --skip-get-modules
  cd otelcol-build
  {
    printf 'module bench/otelcol\n\ngo 1.25.0\n\nrequire (\n'
    grep -o 'gomod: .*' ../manifest.yaml | sed 's/gomod: /\t/'
    printf '\tgo.opentelemetry.io/collector/otelcol v0.155.0\n)\n'
  } > go.mod
  GOFLAGS=-mod=mod go build -trimpath -ldflags='-s -w' -o "$out/otelcol" .
  cd "$out"
  rm -rf tools otelcol-build
  ;;
*)
  echo "build.sh: no such target: $target" >&2
  exit 2
  ;;
esac
