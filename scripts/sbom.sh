#!/bin/sh
# Prints the bill of materials of a binary: the modules that are in it, with
# versions and the sums of go.sum, as CycloneDX 1.6 in JSON. The binary itself knows.
#
#   scripts/sbom.sh bin/holdfast >holdfast.cdx.json
set -eu
binary=${1:?usage: scripts/sbom.sh BINARY}
go version -m "$binary" | awk -v binary="$(basename "$binary")" '
function text(s) { gsub(/["\\]/, "\\\\&", s); return "\"" s "\"" }
NR == 1 { go = $2 }
$1 == "dep" || $1 == "=>" {
	if ($1 == "=>") n--
	sum = ""
	if ($4 ~ /^h1:/) sum = ", \"properties\": [{\"name\": \"go.sum\", \"value\": " text($4) "}]"
	component[n++] = "    {\"type\": \"library\", \"name\": " text($2) ", \"version\": " text($3) \
		", \"purl\": " text("pkg:golang/" $2 "@" $3) sum "}"
}
$1 == "mod" { version = $3 }
END {
	print "{\n  \"bomFormat\": \"CycloneDX\", \"specVersion\": \"1.6\", \"version\": 1,"
	print "  \"metadata\": {\"component\": {\"type\": \"application\", \"name\": " text(binary) ", \"version\": " text(version) "}},"
	print "  \"components\": ["
	print "    {\"type\": \"platform\", \"name\": \"go\", \"version\": " text(substr(go, 3)) "},"
	for (i = 0; i < n; i++) print component[i] (i < n - 1 ? "," : "")
	print "  ]\n}"
}'
