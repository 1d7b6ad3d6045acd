#!/bin/sh
# Runs the end-to-end tests at full size: a gigabyte up and down, 100 reloads
# under 1,000 sockets, 256 MiB to a peer that does not read. Takes minutes.
# Further arguments go to go test, such as -run TestReloads.
set -eu
cd "$(dirname "$0")/.."
exec go test -count=1 -timeout 20m "$@" ./e2e -args -long
