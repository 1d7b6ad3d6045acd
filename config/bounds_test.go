package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestDearTexts: what parsers would take minutes and gigabytes for is refused
// before they do, whether it is a configuration or a list of backends.
func TestDearTexts(t *testing.T) {
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	const deep, keys, text = "nested more than 16 deep", "too many keys, 20000 are the most", "a key is a list or a mapping"
	for _, c := range []struct{ name, format, text, want string }{
		{"dotted key", "toml", "a" + strings.Repeat(".a", 100_000) + " = 1", deep},
		{"dotted table", "toml", "[a" + strings.Repeat(".a", 100_000) + "]", deep},
		{"dotted list", "toml", "[[a" + strings.Repeat(".a", 100_000) + "]]", deep},
		{"dotted keys in inline tables", "toml", "a = [{" + strings.Repeat("b.c = {", 9) + strings.Repeat("}", 9) + "}]", deep},
		{"table under a table", "toml", "[a" + strings.Repeat(".a", 10) + "]\nb" + strings.Repeat(".a", 10) + " = 1", deep},
		{"keys", "toml", many(maxKeys+1, "a%d = 1\n"), keys},
		{"tables", "toml", many(maxKeys+1, "[a%d]\n"), keys},
		{"lists of tables", "toml", many(maxKeys+1, "[[a.b%d]]\n"), keys},
		{"keys of an inline table", "toml", "a = {" + many(maxKeys+1, "b%d=1,") + "z=1}", keys},
		{"objects", "json", strings.Repeat(`{"a":`, 9000) + "1" + strings.Repeat("}", 9000), deep},
		{"lists", "json", `{"a":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + "}", deep},
		{"keys", "json", "{" + many(maxKeys, `"a%d":1,`) + `"a":1}`, keys},
		{"mappings", "yaml", strings.Repeat("{a: ", 9000) + "1" + strings.Repeat("}", 9000), deep},
		{"keys", "yaml", many(maxKeys+1, "a%d: 1\n"), keys},
		{"mappings of many keys", "yaml", "a: {" + many(15_000, "b%d: 1, ") + "}\nb: {" + many(15_000, "b%d: 1, ") + "}\n", keys},
		{"keys that are lists", "yaml", "{" + strings.Repeat("? [] : ,", 8000) + "}", text},
		{"keys that are aliases of lists", "yaml", "a: &a [1]\nb: {*a : 1}", text},
	} {
		t.Run(c.format+" "+c.name, func(t *testing.T) {
			_, _, err := Parse([]byte(c.text), c.format, "holdfast."+c.format, Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("as a configuration: %.200v, want %q", err, c.want)
			}
			if c.format == "toml" { // no format of lists
				return
			}
			list := "[" + strings.TrimSuffix(c.text, "\n") + "]"
			if c.format == "yaml" {
				list = "- " + strings.ReplaceAll(c.text, "\n", "\n  ")
			}
			_, err = ParseBackends([]byte(list), "b."+c.format, 1000)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("as a list of backends: %.200v, want %q", err, c.want)
			}
		})
	}
}

// TestLargeTexts: what a fleet may well have is taken: 2,000 routes, and 1,000
// pools with backends, in each format.
func TestLargeTexts(t *testing.T) {
	var toml, yaml strings.Builder
	toml.WriteString("[[listeners]]\nname = 'a'\naddress = ':80'\n")
	yaml.WriteString("listeners: [{name: a, address: ':80'}]\nroutes:\n")
	for i := range 2000 {
		fmt.Fprintf(&toml, "[[routes]]\nname = 'r%d'\npath = '/r%d'\npool = 'p%d'\n[routes.timeouts]\nidle = '1m'\n", i, i, i%1000)
		fmt.Fprintf(&yaml, "  - {name: r%d, path: /r%d, pool: p%d, timeouts: {idle: 1m}}\n", i, i, i%1000)
	}
	yaml.WriteString("pools:\n")
	for i := range 1000 {
		fmt.Fprintf(&toml, "[pools.p%d]\n[[pools.p%d.backends]]\nurl = 'http://a:1'\n[pools.p%d.health]\ntype = 'tcp'\n", i, i, i)
		fmt.Fprintf(&yaml, "  p%d: {backends: [{url: 'http://a:1'}], health: {type: tcp}}\n", i)
	}
	for format, text := range map[string]string{"toml": toml.String(), "yaml": yaml.String()} {
		c, _, err := Parse([]byte(text), format, "holdfast."+format, Options{})
		if err != nil || len(c.Routes) != 2000 || len(c.Pools) != 1000 {
			t.Errorf("%s: %.300v", format, err)
		}
	}
}
