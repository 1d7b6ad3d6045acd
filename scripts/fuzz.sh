#!/usr/bin/env bash
# Runs each fuzz target for a given time, 30s by default:
#
#   scripts/fuzz.sh            every target
#   scripts/fuzz.sh 5m         every target, longer
#   scripts/fuzz.sh 1m relay   those of one package
#
# What is found is written to testdata/fuzz of the package; commit it with the
# mending.
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:-30s}
only=${2:-}
count=0
while IFS=: read -r file name; do
	package=./$(dirname "$file")
	[[ -z $only || $package == "./${only#./}" ]] || continue
	printf '%s %s, %s\n' "$package" "$name" "$time"
	go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 1s "$package"
	count=$((count + 1))
done < <(git ls-files -co --exclude-standard '*_test.go' | xargs grep -oE '^func Fuzz[A-Za-z0-9_]*' /dev/null | sed 's/func //')

if ((count == 0)); then
	echo "no fuzz target in ${only:-the tree}" >&2
	exit 1
fi
echo "$count targets, nothing found"
