package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestLoadFile(t *testing.T) {
	// testdata/full.yaml holds every key there is.
	want, warnings, err := Load("testdata/full.yaml", Options{})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("full.yaml: warnings %v, errors\n%v", warnings, err)
	}
	if got := want.Summary(); got != "2 listeners, 9 routes, 3 pools, 4 backends" {
		t.Errorf("full.yaml holds %s", got)
	}
	for _, file := range []string{"testdata/full.toml", "testdata/full.json"} {
		got, warnings, err := Load(file, Options{})
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: warnings %v, errors\n%v", file, warnings, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s differs from full.yaml: %s", file, Diff(want, got))
		}
	}
}

// Every key is in full.yaml, so that the three formats are compared in all.
func TestLoadFileIsFull(t *testing.T) {
	data, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for path := range documentable(t) {
		key := path[strings.LastIndexByte(path, '.')+1:]
		if !strings.Contains(string(data), key+":") {
			t.Errorf("testdata/full.yaml lacks %s", path)
		}
	}
}

func TestLoadExample(t *testing.T) {
	c, warnings, err := Load("../holdfast.example.yaml", Options{})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("holdfast.example.yaml: warnings %v, errors\n%v", warnings, err)
	}
	if got := c.Summary(); got != "3 listeners, 8 routes, 3 pools, 4 backends" {
		t.Errorf("holdfast.example.yaml holds %s", got)
	}
}

func TestLoadUnreadable(t *testing.T) {
	f := func(path, want string) {
		t.Helper()
		c, _, err := Load(path, Options{})
		if c != nil {
			t.Errorf("%s gives a configuration", path)
		}
		if err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", path, err, want)
		}
	}
	if _, _, err := Load("testdata/none.yaml", Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the system's error is lost in %v", err)
	}
	f("testdata/none.yaml", "testdata/none.yaml: cannot be read: no such file or directory")
	f("testdata", "testdata: cannot be read: is a directory")
	f("config.go", `config.go: the ending ".go" names no format, rename the file to end in .yaml, .yml, .toml or .json`)
}

func TestParseSyntax(t *testing.T) {
	f := func(format, data, want string) {
		t.Helper()
		if got := errorText(data, format); got != want {
			t.Errorf("%q\n got %s\nwant %s", data, got, want)
		}
	}
	f("ini", "", `t.ini: "ini" is not a format, use yaml, toml or json`)
	f("yaml", "a: b: c", "t.yaml: is not valid YAML: mapping values are not allowed in this context")
	f("yaml", "log:\n\tlevel: info", "t.yaml: is not valid YAML: line 2: found character that cannot start any token")
	f("yaml", "log: {level: info\nadmin: {}", "t.yaml: is not valid YAML: line 2: did not find expected ',' or '}'")
	f("yaml", "log: {}\nadmin:\n  - ?x: [a}", "t.yaml: is not valid YAML: line 3: did not find expected ',' or ']'")
	f("yaml", "log: {}\nroutes: [{path: /q?x=1}]", "t.yaml: is not valid YAML: line 2: did not find expected ',' or '}'")
	f("yaml", "log: {}\nroutes: []\n  bad: [", "t.yaml: is not valid YAML: line 3: did not find expected key")
	f("yaml", "listeners: [{address: :8080}]", "t.yaml: is not valid YAML: line 1: did not find expected node content")
	f("yaml", "- a", "t.yaml: has no keys at its top level, write keys and values as in listeners: [...]")
	f("yaml", "a", "t.yaml: has no keys at its top level, write keys and values as in listeners: [...]")
	f("yaml", "? [a]\n: b", "t.yaml: line 1: a key is a list or a mapping, write a name")
	f("yaml", "log: {}\n---\nadmin: {}", "t.yaml: holds more than one YAML document, keep one")
	f("yaml", "log: {}\n---\n'", "t.yaml: is not valid YAML: line 3: found unexpected end of stream")
	f("yaml", "log: !!int x", "t.yaml: is not valid YAML: cannot decode !!str `x` as a !!int")
	f("toml", "[log]\nlevel = info", "t.toml: is not valid TOML: line 2: expected newline but got U+006F 'o'")
	f("toml", "[log]\nlevel = 'a'\nlevel = 'b'", "t.toml: is not valid TOML: line 3: key level is already defined")
	f("json", "{\n\"log\": {,}}", "t.json: is not valid JSON: line 2: invalid character ',' looking for beginning of object key string")
	f("json", "[]", "t.json: has no keys at its top level, write keys and values as in listeners: [...]")
	f("json", "", "t.json: is not valid JSON: line 1: unexpected end of JSON input")

	const empty = `t.FORMAT: listeners: there are none, write at least one, such as {name: web, address: ":8080"}
t.FORMAT: routes: there are none, write at least one, such as {path: /, pool: NAME}`
	for format, data := range map[string]string{"yaml": "# nothing\n", "toml": "", "json": "{}"} {
		f(format, data, strings.ReplaceAll(empty, "FORMAT", format))
	}
	f("yaml", "~", strings.ReplaceAll(empty, "FORMAT", "yaml"))
	f("json", "null", strings.ReplaceAll(empty, "FORMAT", "json"))
}

// A key that is given twice is one mistake among the others.
func TestParseDuplicateKeys(t *testing.T) {
	f := func(format, data string, want ...string) {
		t.Helper()
		for i := range want {
			want[i] = "t." + format + ": " + want[i]
		}
		if got, want := errorText(data, format), strings.Join(want, "\n"); got != want {
			t.Errorf("%s\n got:\n%s\nwant:\n%s", data, got, want)
		}
	}
	f("yaml", `
listeners: [{name: web, address: ":80"}]
routes:
  - pool: web
    retries: 1
    retries: 2
pools:
  web: {backends: [{url: "http://a"}], balance: lest}
  web: {backends: []}
pools: {}
`,
		`pools: is given twice, in lines 7 and 10, keep one`,
		`pools.web: is given twice, in lines 8 and 9, keep one`,
		`pools.web.balance: "lest" is not known, use one of least_conn, p2c, round_robin, random, hash, first`,
		`routes[0].retries: is given twice, in lines 5 and 6, keep one`)
	f("json", `{
"listeners": [{"name": "web", "address": ":80", "name": "b"}],
"routes": [{"pool": "web"}],
"pools": {"web": {"backends": [{"url": "http://a"}], "balance": "lest"}},
"log": {}, "log": {}
}`,
		`listeners[0].name: is given twice, keep one`,
		`log: is given twice, keep one`,
		`pools.web.balance: "lest" is not known, use one of least_conn, p2c, round_robin, random, hash, first`)
	// A merge key may be overridden; that is what it is for.
	f("yaml", complete(`
routes:
  - &one {name: a, pool: web, retries: 1}
  - {<<: *one, name: b, path: /b}
`))
}

func TestLayers(t *testing.T) {
	f := func(environ []string, overrides map[string]any, want Log, wantDeadline time.Duration) {
		t.Helper()
		doc := complete("log: {level: warn, access: off}\nshutdown: {deadline: 5s}")
		c, warnings, err := Parse([]byte(doc), "yaml", "t.yaml", Options{Environ: environ, Overrides: overrides})
		if err != nil || len(warnings) > 0 {
			t.Fatalf("warnings %v, errors %v", warnings, err)
		}
		if c.Log != want || c.Shutdown.Deadline != wantDeadline {
			t.Errorf("with %q and %v\n got %+v, %s\nwant %+v, %s", environ, overrides, c.Log, c.Shutdown.Deadline, want, wantDeadline)
		}
	}
	file := Log{Level: "warn", Format: "json", File: "stderr", Access: "off", AccessFormat: "json"}
	f(nil, nil, file, 5*time.Second)
	f([]string{"HOLDFAST_CONFIG=x", "PATH=/bin", "HOLDFAST", "holdfast_log_level=debug"}, nil, file, 5*time.Second)

	env := file
	env.Level, env.AccessFormat = "debug", "combined"
	environ := []string{"HOLDFAST_LOG_LEVEL=debug", "HOLDFAST_LOG_ACCESS_FORMAT=combined", "HOLDFAST_SHUTDOWN_DEADLINE=7s"}
	f(environ, nil, env, 7*time.Second)

	flags := env
	flags.Level = "error"
	f(environ, map[string]any{"log.level": "error", "shutdown.deadline": time.Minute}, flags, time.Minute)
}

// A mistake names the layer that it is in.
func TestLayersMistakes(t *testing.T) {
	_, warnings, err := Parse([]byte(complete("log: {level: loud}")), "yaml", "t.yaml", Options{
		Environ: []string{
			"HOLDFAST_LOG_LEVL=debug",
			"HOLDFAST_SERVICE_HOST=10.0.0.1",
			"HOLDFAST_LOG_FORMAT=xml",
			"HOLDFAST_SHUTDOWN_DEADLINE=2",
			"HOLDFAST_ADMIN_ADDRESS=:80",
		},
		Overrides: map[string]any{"admin.address": ":9090", "log.colour": "red"},
	})
	checkText := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
	}
	if err == nil {
		t.Fatal("no error")
	}
	checkText(err.Error(), `flags: admin.address: ":9090" can be reached from other machines: set admin.token, or use a loopback address such as 127.0.0.1:9090
flags: log.colour: unknown key, the keys known here are access, access_format, file, format, level
HOLDFAST_LOG_FORMAT: log.format: "xml" is not known, use one of json, text
t.yaml: log.level: "loud" is not known, use one of debug, info, warn, error
HOLDFAST_SHUTDOWN_DEADLINE: shutdown.deadline: 2 has no unit, write 2s or 2ms`)
	if len(warnings) != 2 {
		t.Fatalf("warnings: %v", warnings)
	}
	checkText(warnings[0].String(), "HOLDFAST_LOG_LEVL: belongs to no key and is ignored, did you mean HOLDFAST_LOG_LEVEL?")
	checkText(warnings[1].String(), "HOLDFAST_SERVICE_HOST: belongs to no key and is ignored, unset it if it was meant for Holdfast")
}

// A path begins where the file is, wherever the process is.
func TestRelativePaths(t *testing.T) {
	f := func(name, path, want string) {
		t.Helper()
		doc := complete("log: {file: " + path + ", access: " + path + "}\nlisteners: [{name: a, address: 'unix:" + path + "'}]")
		c, _, err := Parse([]byte(doc), "yaml", name, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if c.Log.File != want || c.Log.Access != want || c.Listeners[0].Address != "unix:"+want {
			t.Errorf("%s in %s: %+v and %s, want %s", path, name, c.Log, c.Listeners[0].Address, want)
		}
	}
	f("/etc/holdfast/h.yaml", "x.log", "/etc/holdfast/x.log")
	f("/etc/holdfast/h.yaml", "../x.log", "/etc/x.log")
	f("/etc/holdfast/h.yaml", "/var/x.log", "/var/x.log")
	f("h.yaml", "x.log", "x.log")
	f(filepath.Join("a", "h.yaml"), "x.log", "a/x.log")

	for _, word := range []string{"stdout", "stderr", "off"} {
		c, _, err := Parse([]byte(complete("log: {access: "+word+"}")), "yaml", "/etc/h.yaml", Options{})
		if err != nil || c.Log.Access != word {
			t.Errorf("access %s becomes %+v, %v", word, c, err)
		}
	}
}

// A short interval alone is enough for quick probes.
func TestTimeoutFollowsShortInterval(t *testing.T) {
	f := func(health string, want time.Duration) {
		t.Helper()
		c, _, err := Parse([]byte(complete("pools: {web: {health: {type: tcp, "+health+"}, backends: [{url: 'http://127.0.0.1:1'}]}}")), "yaml", "t.yaml", Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Pools["web"].Health.Timeout; got != want {
			t.Errorf("%s: timeout %v, want %v", health, got, want)
		}
	}
	f("interval: 200ms", 200*time.Millisecond)
	f("interval: 5s", time.Second)
	f("interval: 500ms, timeout: 100ms", 100*time.Millisecond)
}
