package config

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

// documented is what the reference says of one key.
type documented struct{ kind, value string }

// The keys whose absence is an error, and those whose default follows from
// other keys; the reference says so in words where others have a value.
var (
	requiredKeys = []string{
		"listeners[].name", "listeners[].address", "listeners[].tls.certificates[].cert", "listeners[].tls.certificates[].key",
		"listeners[].access_log.file", "routes[].access_log.file", "routes[].redirect.to", "routes[].rewrite.pattern",
		"routes[].auth.basic.users_file", "routes[].auth.forward.url", "pools.NAME.sticky.by", "pools.NAME.backends[].url",
		"webhooks[].url",
		"pools.NAME.discovery.dns.name", "pools.NAME.discovery.file.path", "pools.NAME.discovery.http.url",
	}
	derivedKeys = []string{"listeners[].access_log.format", "routes[].access_log.format", "routes[].name", "routes[].pool", "pools.NAME.sticky.name", "pools.NAME.backends[].name", "webhooks[].name"}
)

// zeroUnits finds the end of 1h0m0s, which nobody writes.
var zeroUnits = regexp.MustCompile(`([hm])(?:0m)?0s$`)

// documentable gives every key of the structs, with the type and default that
// decoding gives it.
func documentable(t *testing.T) map[string]documented {
	t.Helper()
	all := map[string]documented{}
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		if d, ok := v.Addr().Interface().(defaulter); ok {
			d.setDefaults()
		}
		for i := range v.NumField() {
			field := v.Field(i)
			fieldPath := strings.TrimPrefix(path+"."+v.Type().Field(i).Tag.Get("koanf"), ".")
			switch value := field.Interface().(type) {
			case time.Duration:
				all[fieldPath] = documented{"duration", zeroUnits.ReplaceAllString(value.String(), "$1")}
				continue
			case Bytes:
				all[fieldPath] = documented{"size", value.String()}
				continue
			case []string:
				all[fieldPath] = documented{"list of text", "[]"}
				continue
			case map[string]string, map[string]Secret:
				all[fieldPath] = documented{"map of text", "{}"}
				continue
			}
			switch field.Kind() {
			case reflect.Struct:
				walk(fieldPath, field)
			case reflect.Pointer:
				walk(fieldPath, reflect.New(field.Type().Elem()).Elem())
			case reflect.Slice:
				walk(fieldPath+"[]", reflect.New(field.Type().Elem()).Elem())
			case reflect.Map:
				walk(fieldPath+".NAME", reflect.New(field.Type().Elem()).Elem())
			case reflect.String:
				all[fieldPath] = documented{"text", field.String()}
				if field.String() == "" {
					all[fieldPath] = documented{"text", `""`}
				}
			case reflect.Float64:
				all[fieldPath] = documented{"number", fmt.Sprint(field.Float())}
			case reflect.Int:
				all[fieldPath] = documented{"number", fmt.Sprint(field.Int())}
			case reflect.Bool:
				all[fieldPath] = documented{"switch", fmt.Sprint(field.Bool())}
			default:
				t.Fatalf("%s: no word for %s", fieldPath, field.Type())
			}
		}
	}
	walk("", reflect.ValueOf(new(Config)).Elem())
	return all
}

// docs/configuration.md lists the keys that exist, with their types and
// defaults, and no others.
func TestReference(t *testing.T) {
	data, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([^|]+) \\| ([^|]+) \\| (.+) \\|$")
	inDocs := map[string]documented{}
	for _, cells := range row.FindAllStringSubmatch(text, -1) {
		if _, twice := inDocs[cells[1]]; twice {
			t.Errorf("%s is documented twice", cells[1])
		}
		inDocs[cells[1]] = documented{cells[2], cells[3]}
	}

	inCode := documentable(t)
	for path, is := range inCode {
		is.value = "`" + is.value + "`"
		inCode[path] = is
	}
	for _, path := range requiredKeys {
		inCode[path] = documented{inCode[path].kind, "required"}
	}
	for path, is := range inCode {
		says, ok := inDocs[path]
		if !ok {
			t.Errorf("%s is not documented", path)
			continue
		}
		for _, derived := range derivedKeys {
			// Italics: a sentence in place of a value.
			if path == derived && regexp.MustCompile(`^\*[^*]+\*$`).MatchString(says.value) {
				is.value = says.value
			}
		}
		if says != is {
			t.Errorf("%s is documented as %v, and is %v", path, says, is)
		}
	}
	for path := range inDocs {
		if _, ok := inCode[path]; !ok {
			t.Errorf("%s is documented and does not exist", path)
		}
	}

	variables := map[string]bool{envReserved: true}
	for _, path := range scalarPaths(reflect.TypeFor[Config](), "") {
		variables[envName(path)] = true
		if !strings.Contains(text, "`"+envName(path)+"`") {
			t.Errorf("%s is not documented", envName(path))
		}
	}
	for _, name := range regexp.MustCompile("`(HOLDFAST_[A-Z_]+)`").FindAllStringSubmatch(text, -1) {
		if !variables[name[1]] {
			t.Errorf("%s is documented and does not exist", name[1])
		}
	}
}

// Without a required key, the least configuration is refused for that key.
func TestRequiredKeys(t *testing.T) {
	docs := map[string]string{
		"listeners[].name":                    "listeners: [{address: ':80'}]",
		"listeners[].address":                 "listeners: [{name: web}]",
		"listeners[].tls.certificates[].cert": "listeners: [{name: web, address: ':80', tls: {certificates: [{key: a}]}}]",
		"listeners[].tls.certificates[].key":  "listeners: [{name: web, address: ':80', tls: {certificates: [{cert: a}]}}]",
		"routes[].redirect.to":                "routes: [{redirect: {}}]",
		"routes[].rewrite.pattern":            "routes: [{pool: web, rewrite: {}}]",
		"routes[].auth.basic.users_file":      "routes: [{pool: web, auth: {basic: {}}}]",
		"routes[].auth.forward.url":           "routes: [{pool: web, auth: {forward: {}}}]",
		"pools.NAME.sticky.by":                "pools: {NAME: {sticky: {name: x}, backends: [{url: 'http://a'}]}}\nroutes: [{pool: NAME}]",
		"webhooks[].url":                      "webhooks: [{name: ops}]",
		"pools.NAME.backends[].url":           "pools: {NAME: {backends: [{}]}}\nroutes: [{pool: NAME}]",
		"listeners[].access_log.file":         "listeners: [{name: web, address: ':80', access_log: {}}]",
		"routes[].access_log.file":            "routes: [{pool: web, access_log: {}}]",
		"pools.NAME.discovery.dns.name":       "pools: {NAME: {discovery: {dns: {port: 1}}}}\nroutes: [{pool: NAME}]",
		"pools.NAME.discovery.file.path":      "pools: {NAME: {discovery: {file: {}}}}\nroutes: [{pool: NAME}]",
		"pools.NAME.discovery.http.url":       "pools: {NAME: {discovery: {http: {}}}}\nroutes: [{pool: NAME}]",
	}
	for _, path := range requiredKeys {
		_, _, err := Parse([]byte(complete(docs[path])), "yaml", "t.yaml", Options{})
		list, _ := err.(Errors)
		if len(list) != 1 || list[0].Path != strings.ReplaceAll(path, "[]", "[0]") {
			t.Errorf("without %s: %v", path, err)
		}
	}
}

// Two keys must never share a variable.
func TestEnvNamesAreDistinct(t *testing.T) {
	owners := map[string]string{envReserved: "the command line"}
	paths := scalarPaths(reflect.TypeFor[Config](), "")
	for _, path := range paths {
		if owner, taken := owners[envName(path)]; taken {
			t.Errorf("%s stands for %s and for %s", envName(path), owner, path)
		}
		owners[envName(path)] = path
	}
	if len(paths) != 12 {
		t.Errorf("%d keys have a variable: %q", len(paths), paths)
	}
}
