#!/bin/sh
# Soaks the binary: 5,000 sockets coming, talking and going for 30 minutes while
# the configuration is reloaded and backends die every 5 seconds. Prints the
# ledger of every message, and what the process held before and after.
#
#   scripts/soak.sh        30 minutes
#   scripts/soak.sh 5m     another time
set -eu
cd "$(dirname "$0")/.."
ulimit -n "$(ulimit -H -n)"
exec go test -count=1 -timeout 12h -v -run 'TestSoak$' ./e2e -args -long -soak "${1:-30m}"
