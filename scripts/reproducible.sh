#!/usr/bin/env bash
# Builds a commit twice, in two directories, with two names of home and two
# caches, as the Dockerfile does, and compares: the bytes must be the same.
#
#   scripts/reproducible.sh          HEAD
#   scripts/reproducible.sh v1.0.0   another commit
set -euo pipefail
cd "$(dirname "$0")/.."

commit=$(git rev-parse --verify "${1:-HEAD}^{commit}")
modules=$(go env GOMODCACHE)
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
for place in one "another, deeper/place"; do
	mkdir -p "$temp/$place"
	git clone --quiet --no-checkout --shared . "$temp/$place/src"
	git -C "$temp/$place/src" checkout --quiet --detach "$commit"
	(cd "$temp/$place/src" &&
		env HOME="$temp/$place" GOCACHE="$temp/$place/cache" GOMODCACHE="$modules" GOFLAGS= CGO_ENABLED=0 \
			go build -trimpath -ldflags="-s -w" -o "$temp/$place/holdfast" ./cmd/holdfast)
	sha256sum "$temp/$place/holdfast" | cut -d' ' -f1 >>"$temp/sums"
	rm -rf "$temp/$place/cache"
done
if [[ $(sort -u "$temp/sums" | wc -l) != 1 ]]; then
	echo "reproducible: two builds of $commit differ:" >&2
	cat "$temp/sums" >&2
	exit 1
fi
echo "$(head -1 "$temp/sums")  holdfast, twice, of $commit with $(go env GOVERSION) for $(go env GOOS)/$(go env GOARCH)"
