#!/bin/sh
# Sends every framing case to HAProxy as well, and writes docs/framing.md anew.
# HAPROXY names another binary than that of the path.
set -eu
cd "$(dirname "$0")/.."
haproxy=${HAPROXY:-$(command -v haproxy || echo /usr/sbin/haproxy)}
exec go test -count=1 -timeout 10m -run 'TestFramingTable$' ./e2e -args -haproxy "$haproxy"
