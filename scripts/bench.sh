#!/usr/bin/env bash
# Measures Holdfast beside HAProxy, nginx, Apache and Caddy on this machine; see
# bench/README.md. Installs nothing: what is missing is named, with the way to
# get it, and left out.
#
#   scripts/bench.sh                            everything, more than an hour
#   scripts/bench.sh --rounds 3 --duration 2s   everything, about 25 minutes
#   scripts/bench.sh --quick                    three minutes, not to quote
#   scripts/bench.sh --only churn,idle --against haproxy,none
#   scripts/bench.sh --sweep                    how cost grows with size
set -euo pipefail
cd "$(dirname "$0")/.."

[[ $(uname -s) == Linux ]] || { echo "the generator is built on epoll: run this on Linux" >&2; exit 1; }
command -v go >/dev/null || { echo "go is missing: https://go.dev/dl/" >&2; exit 1; }
PATH=$PATH:/usr/sbin:$(go env GOPATH)/bin

present=()
look() { # PEER PROGRAM HOW
	if command -v "$2" >/dev/null; then
		present+=("$1")
	else
		echo "$1 is left out, there is no program $2: $3" >&2
	fi
}
look haproxy haproxy "apt install haproxy"
look nginx nginx "apt install nginx"
look apache apache2 "apt install apache2"
look caddy caddy "go install github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9"
present+=(none)
command -v wrk >/dev/null || echo "HTTP scenarios are left out, there is no program wrk: apt install wrk" >&2

temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
echo "building Holdfast and the harness" >&2
go build -o "$temp/holdfast" ./cmd/holdfast
go build -o "$temp/bench" ./bench/cmd/bench

# --quick without --only takes the scenarios that say most in three minutes.
arguments=("$@")
if [[ " $* " == *" --quick "* && " $* " != *" --only"* && " $* " != *" --sweep "* ]]; then
	arguments+=(--only pingpong,churn,get,idle)
fi
[[ " $* " == *" --against"* ]] || arguments+=(--against "$(IFS=,; echo "${present[*]}")")
"$temp/bench" --holdfast "$temp/holdfast" "${arguments[@]}"
