package config

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// FuzzParse holds the loader to this: whatever is in a file, it gives either a
// configuration or mistakes that name the file, the same ones every time.
func FuzzParse(f *testing.F) {
	formats := []string{"yaml", "toml", "json"}
	for i, format := range formats {
		data, err := os.ReadFile("testdata/full." + format)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, uint(i))
	}
	f.Add([]byte(complete("")), uint(0))
	f.Add([]byte("pools: {1: {}, '1': {}, 1: ~}\nlog: [[{1: 2}]]"), uint(0))
	f.Add([]byte("a: &a [*a]"), uint(0))
	f.Add([]byte("log: {<<: [{level: x}], ? [a] : b}"), uint(0))
	f.Add([]byte(`{"log": {"level": 1e999, "level": null}}`), uint(2))
	f.Add([]byte("[log]\nlevel = 07:32:00\n[[routes]]\n[routes.x]"), uint(1))
	f.Add([]byte("pools: {a: {backends: [{url: \"a\\nb\\e[2J\"}], \"\\nx\": 1}}\nlisteners: [{address: \"*:\\e\"}]"), uint(0))
	f.Add([]byte("shutdown = {deadline = 0x1F}"), uint(1))

	f.Fuzz(func(t *testing.T, data []byte, kind uint) {
		format := formats[kind%uint(len(formats))]
		opts := Options{Environ: []string{"HOLDFAST_LOG_LEVEL=debug"}}
		c, warnings, err := Parse(data, format, "dir/file", opts)
		c2, warnings2, err2 := Parse(data, format, "dir/file", opts)
		if !reflect.DeepEqual(err, err2) || !reflect.DeepEqual(warnings, warnings2) || !reflect.DeepEqual(c, c2) {
			t.Fatalf("two results:\n%v %v\n%v %v", warnings, err, warnings2, err2)
		}
		if (c == nil) != (err != nil) {
			t.Fatalf("configuration %v with error %v", c, err)
		}
		if err != nil {
			list, ok := err.(Errors)
			if !ok || len(list) == 0 {
				t.Fatalf("the error is %T with %v", err, err)
			}
			for _, e := range list {
				if e.File == "" || e.Msg == "" || strings.ContainsFunc(e.Error(), func(r rune) bool { return !unicode.IsPrint(r) }) {
					t.Fatalf("not one line with file and message: %q", e)
				}
			}
			return
		}
		if len(c.Listeners) == 0 || len(c.Routes) == 0 || Diff(c, c2) != "" {
			t.Fatalf("taken: %s", c.Summary())
		}
		for name, pool := range c.Pools {
			for _, b := range pool.Backends {
				if scheme, address := b.Target(); scheme != "http" && scheme != "https" || address == "" {
					t.Fatalf("pool %s: backend %+v has no target", name, b)
				}
			}
		}
	})
}

// FuzzTemplate checks that what is taken means what is written: the parts put
// together again are the text.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"", "$host", "a${host}b$$", "$", "${", "$hosts", "${host"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parts, err := ParseTemplate(text, []string{"host", "path"})
		if err != nil {
			return
		}
		again := ""
		for _, p := range parts {
			if (p.Text == "") == (p.Variable == "") {
				t.Fatalf("%q has the part %+v", text, p)
			}
			again += strings.ReplaceAll(p.Text, "$", "$$")
			if p.Variable != "" {
				again += "${" + p.Variable + "}"
			}
		}
		twice, err := ParseTemplate(again, []string{"host", "path"})
		if err != nil || !slices.Equal(twice, parts) {
			t.Errorf("%q is %v, written %q, read again as %v, %v", text, parts, again, twice, err)
		}
	})
}
