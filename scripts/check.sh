#!/usr/bin/env bash
# What a change must pass before it is shown to anyone: formatting, vet, lint
# and tests. `scripts/check.sh -race` runs the tests under the race detector.
# .ci/run does the same and more from nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

unformatted=$(git ls-files -co --exclude-standard '*.go' | xargs -r ls 2>/dev/null | xargs -r gofmt -l)
if [[ -n $unformatted ]]; then
	printf 'gofmt -w is due for:\n%s\n' "$unformatted" >&2
	exit 1
fi
go vet ./...
GOOS=darwin go vet ./...
if command -v golangci-lint >/dev/null; then
	golangci-lint run ./...
else
	echo "golangci-lint is not installed, lint is skipped; .ci/run names the version" >&2
fi
go test "$@" ./...
