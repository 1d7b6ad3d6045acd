package config

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

func TestParseBackends(t *testing.T) {
	f := func(data, name, wantErr string, want ...Backend) {
		t.Helper()
		got, err := ParseBackends([]byte(data), name, 3)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != wantErr {
			t.Errorf("%q: error %q, want %q", data, text, wantErr)
		}
		if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, want %+v", data, got, want)
		}
	}
	a := Backend{Name: "10.0.0.1:80", URL: "http://10.0.0.1", Weight: 1}
	b := Backend{Name: "b", URL: "ws://10.0.0.2:9000", Weight: 2, MaxConnections: 5}
	f(`[{"url": "http://10.0.0.1"}, {"name": "b", "url": "ws://10.0.0.2:9000", "weight": 2, "max_connections": 5}]`, "x.json", "", a, b)
	f("- url: http://10.0.0.1\n- {name: b, url: 'ws://10.0.0.2:9000', weight: 2, max_connections: 5}\n", "x.yaml", "", a, b)
	for _, empty := range []string{"", "# nobody\n", "[]", "~"} {
		f(empty, "x.yml", "")
	}
	f(" [ ] ", "x.json", "")

	f("", "x.json", "x.json: is not valid JSON: EOF")
	f(`{"url": "http://10.0.0.1"}`, "x.json", "x.json: is not a list, write [{url: ...}, {url: ...}]")
	f(`null`, "x.json", "x.json: is not a list, write [{url: ...}, {url: ...}]")
	f(`[{"url": "http://10.0.0.1"}`, "x.json", "x.json: is not valid JSON: EOF")
	f(`[] []`, "x.json", "x.json: is not valid JSON: something follows the list")
	f(`[1]`, "x.json", "x.json: [0]: the number 1 is not a mapping, write keys and values below it")
	f(`[{"url": "http://10.0.0.1", "url": "http://10.0.0.2"}]`, "x.json", "x.json: [0].url: is given twice, keep one")
	f(`[{"url": "http://10.0.0.1", "wieght": 2}]`, "x.json", `x.json: [0].wieght: unknown key, did you mean "weight"?`)
	f(`[{"url": "http://10.0.0.1", "weight": 0}, {"url": "http://10.0.0.1/"}]`, "x.json",
		"x.json: [0].weight: 0 gives it nothing to do, write 1 to 1000 or remove the backend\n"+
			`x.json: [1].url: address "10.0.0.1:80" is taken by [0], give each its own`)
	f(`[{},{},{},{}]`, "x.json", "there are too many: more than 3")
	f("- 1\n- 2\n- 3\n- 4\n", "x.yaml", "there are too many: more than 3")
	f("a: 1\n", "x.yaml", "x.yaml: is not a list, write [{url: ...}, {url: ...}]")
	f("[]\n---\n[]\n", "x.yaml", "x.yaml: holds more than one YAML document, keep one")
	f("- [a\n", "x.yaml", "x.yaml: is not valid YAML: line 2: did not find expected ',' or ']'")

	if _, err := ParseBackends([]byte("[{},{}"), "x.json", 1); !errors.Is(err, ErrTooMany) {
		t.Errorf("error %v: it is read beyond the limit", err)
	}
}

// What a list costs is bounded by its length, whatever is in it.
func TestParseBackendsIsCheap(t *testing.T) {
	f := func(name, data, wantErr string) {
		t.Helper()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := ParseBackends([]byte(data), name, 1000)
		runtime.ReadMemStats(&after)
		var mistakes Errors
		if !errors.As(err, &mistakes) || len(mistakes) > maxMistakes || !strings.Contains(err.Error(), wantErr) {
			t.Errorf("%.20s in %s: %d mistakes, %.100v, want %s", data, name, len(mistakes), err, wantErr)
		}
		if n := (after.TotalAlloc - before.TotalAlloc) / uint64(len(data)); n > 500 {
			t.Errorf("%.20s in %s costs %d bytes for each of its own", data, name, n)
		}
	}
	const size = 1 << 20
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	f("x.json", "["+strings.Repeat(deep+",", size/len(deep))+"1]", "nested more than 16 deep")
	f("x.json", "["+strings.Repeat(`{"a":1,"a":`, 5000)+"1"+strings.Repeat("}", 5000)+"]", "nested more than 16 deep")
	f("x.json", "[{"+strings.Repeat(`"a":1,`, size/6)+`"a":1}]`, "[0].a: is given twice")
	var many strings.Builder
	for i := range maxKeys - 1 {
		fmt.Fprintf(&many, `"%d":1,`, i)
	}
	f("x.json", "[{"+many.String()+`"a":1}]`, "unknown key")
	f("x.json", "["+strings.Repeat("1,", 999)+"1]", "[0]: the number 1 is not a mapping")
	f("x.yaml", "- "+deep, "nested more than 16 deep")
}

func FuzzParseBackends(f *testing.F) {
	f.Add(`[{"url": "http://10.0.0.1", "weight": 2}]`, true)
	f.Add("- url: http://10.0.0.1\n- &a {url: ws://b}\n- *a\n", false)
	f.Fuzz(func(t *testing.T, data string, isJSON bool) {
		name := "x.yaml"
		if isJSON {
			name = "x.json"
		}
		list, err := ParseBackends([]byte(data), name, 8)
		if err != nil && list != nil {
			t.Errorf("a list and the error %v", err)
		}
		if len(list) > 8 {
			t.Errorf("%d backends", len(list))
		}
		names, addresses := map[string]bool{}, map[string]bool{}
		for _, b := range list {
			_, address := b.Target()
			if address == "" || names[b.Name] || addresses[address] || !IsName(b.Name) || b.Weight < 1 || b.MaxConnections < 0 {
				t.Errorf("%+v in %+v", b, list)
			}
			names[b.Name], addresses[address] = true, true
		}
	})
}

// Found backends come behind those of the file, with names of their own.
func TestWithBackends(t *testing.T) {
	c := mustParse(t, "pools: {web: {backends: [{url: 'http://a:1', name: x}], discovery: {file: {path: f.yaml}}}}")
	full := c.WithBackends(map[string][]Backend{
		"web": {{Name: "x", URL: "http://b:1", Weight: 1}, {Name: "y", URL: "http://a:1", Weight: 7}, {Name: "y", URL: "http://c:1", Weight: 1}, {Name: "b:1", URL: "http://d:1", Weight: 1}},
		"old": {{Name: "z", URL: "http://e:1", Weight: 1}},
	})
	var got []string
	for _, b := range full.Pools["web"].Backends {
		got = append(got, b.Name+" "+b.URL)
	}
	const want = "x http://a:1, b:1 http://b:1, y http://c:1, d:1 http://d:1"
	if text := strings.Join(got, ", "); text != want {
		t.Errorf("got %s, want %s", text, want)
	}
	if len(c.Pools["web"].Backends) != 1 || len(full.Pools) != 1 {
		t.Errorf("c has %+v, the other %+v", c.Pools, full.Pools)
	}
}
