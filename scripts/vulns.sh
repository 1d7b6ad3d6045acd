#!/bin/sh
# Looks for known vulnerabilities in what the code calls (govulncheck), and for
# what gosec finds. VULNDB names another database than vuln.go.dev, such as
# file:///a/copy. Findings that stand are justified in .golangci.yml, or beside
# the line by #nosec with a reason.
set -eu
cd "$(dirname "$0")/.."
go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ${VULNDB:+-db "$VULNDB"} ./...
golangci-lint run --enable-only gosec ./...
