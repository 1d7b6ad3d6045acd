package config

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// sections is the least that a configuration needs.
var sections = map[string]string{
	"listeners": "listeners: [{name: web, address: ':8080'}]\n",
	"routes":    "routes: [{pool: web}]\n",
	"pools":     "pools: {web: {backends: [{url: 'http://10.0.0.1:9000'}]}}\n",
}

// complete adds to a YAML document the sections that it lacks.
func complete(doc string) string {
	for _, section := range slices.Sorted(maps.Keys(sections)) {
		if !strings.Contains("\n"+doc, "\n"+section+":") {
			doc += "\n" + sections[section]
		}
	}
	return doc
}

// mustParse is the configuration of a YAML document that is completed first.
func mustParse(t *testing.T, doc string) *Config {
	t.Helper()
	c, _, err := Parse([]byte(complete(doc)), "yaml", "t.yaml", Options{})
	if err != nil {
		t.Fatalf("%s\nis refused:\n%v", doc, err)
	}
	return c
}

// checkLines compares lines of text with what is wanted, "t.yaml: " before
// each.
func checkLines(t *testing.T, doc, got string, want ...string) {
	t.Helper()
	for i := range want {
		want[i] = "t.yaml: " + want[i]
	}
	if wanted := strings.Join(want, "\n"); got != wanted {
		t.Errorf("%s\n got:\n%s\nwant:\n%s", doc, got, wanted)
	}
}

// errorText is the error of a document, empty if there is none.
func errorText(data, format string) string {
	if _, _, err := Parse([]byte(data), format, "t."+format, Options{}); err != nil {
		return err.Error()
	}
	return ""
}
