#!/bin/sh
# Sends frames through the scanner, the guard and whole relays: random ones,
# well-formed and not, cut anywhere, held against a slow parser and against
# what was sent, while Pings and Closes are put in. Ten million of each kind
# take minutes.
#
#   scripts/frames.sh            ten million
#   scripts/frames.sh 1000000    another number
set -eu
cd "$(dirname "$0")/.."
exec go test -count=1 -timeout 2h -v -run 'TestSieveEveryHeader|TestSieveAgainstReference|TestRandomConversations' ./relay -args -frames "${1:-10000000}"
