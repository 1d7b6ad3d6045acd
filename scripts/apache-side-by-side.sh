#!/usr/bin/env bash
# Sends the same requests through Apache and through Holdfast and writes
# docs/apache-side-by-side.md. Needs go and Debian's apache2.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v apache2 >/dev/null || { echo "apache-side-by-side: missing: apache2 (Debian: apache2)" >&2; exit 2; }
go test ./e2e -count=1 -run '^TestBesideApache$' -update-apache
