package admin

import (
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

type openapi struct {
	Paths      map[string]map[string]yaml.Node
	Components struct {
		Parameters map[string]parameter
		Schemas    map[string]schema
	}
}

type operation struct {
	Summary    string
	Security   *[]any
	Parameters []parameter
	Responses  map[string]any
}

type parameter struct {
	Ref         string `yaml:"$ref"`
	Name, In    string
	Description string
}

type schema struct {
	Required   []string
	Properties map[string]any
}

func described(t *testing.T) (doc openapi) {
	t.Helper()
	data, err := os.ReadFile("../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// docs/openapi.yaml has the endpoints that there are, with their parameters
// and who is let in, and no others.
func TestOpenAPIPaths(t *testing.T) {
	doc := described(t)
	s := New(Options{Listener: listen(t), Metrics: http.NotFoundHandler()})
	s.Close(t.Context())
	inCode := map[string]bool{}
	for _, e := range s.routes {
		if strings.HasPrefix(e.path, "/ui/") {
			continue // the page's own files
		}
		method := strings.ToLower(e.method)
		inCode[method+" "+e.path] = true
		node, ok := doc.Paths[e.path][method]
		if !ok {
			t.Errorf("%s %s is not described", e.method, e.path)
			continue
		}
		var op operation
		if err := node.Decode(&op); err != nil {
			t.Fatal(err)
		}
		if isOpen := op.Security != nil && len(*op.Security) == 0; isOpen != (e.access == open) {
			t.Errorf("%s %s: described as open to everybody: %v", e.method, e.path, isOpen)
		}
		if op.Summary == "" || len(op.Responses) == 0 {
			t.Errorf("%s %s has no summary or no responses", e.method, e.path)
		}
		var queries []string
		for _, p := range op.Parameters {
			if p.Ref != "" {
				p = doc.Components.Parameters[strings.TrimPrefix(p.Ref, "#/components/parameters/")]
			}
			if p.In == "query" {
				queries = append(queries, p.Name)
			}
		}
		if slices.Sort(queries); !slices.Equal(queries, e.query) {
			t.Errorf("%s %s: describes the query parameters %q, has %q", e.method, e.path, queries, e.query)
		}
		if e.access == withToken && op.Responses["401"] == nil || method != "get" && op.Responses["403"] == nil {
			t.Errorf("%s %s: 401 or 403 is not described", e.method, e.path)
		}
		var named []string
		if shared, ok := doc.Paths[e.path]["parameters"]; ok {
			var list []parameter
			if err := shared.Decode(&list); err != nil {
				t.Fatal(err)
			}
			for _, p := range list {
				named = append(named, doc.Components.Parameters[strings.TrimPrefix(p.Ref, "#/components/parameters/")].Name)
			}
		}
		var inPath []string
		for _, m := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(e.path, -1) {
			inPath = append(inPath, m[1])
		}
		if !slices.Equal(named, inPath) {
			t.Errorf("%s: describes the parameters %q, has %q", e.path, named, inPath)
		}
	}
	for path, methods := range doc.Paths {
		for method := range methods {
			if method != "parameters" && !inCode[method+" "+path] {
				t.Errorf("%s %s is described and does not exist", method, path)
			}
		}
	}
}

// The query parameters that handlers read are those that are described.
func TestOpenAPIQueries(t *testing.T) {
	text := ""
	for _, file := range []string{"control.go", "socket.go", "history.go", "plan.go"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text += string(data)
	}
	var reads []string
	for _, m := range regexp.MustCompile(`(?:args|QueryArgs\(\))\.Peek\("(\w+)"\)`).FindAllStringSubmatch(text, -1) {
		reads = append(reads, m[1])
	}
	data, err := os.ReadFile("../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var says []string
	for _, m := range regexp.MustCompile(`name: (\w+),?\s+in: query`).FindAllStringSubmatch(string(data), -1) {
		says = append(says, m[1])
	}
	slices.Sort(reads)
	slices.Sort(says)
	if reads, says = slices.Compact(reads), slices.Compact(says); !slices.Equal(reads, says) {
		t.Errorf("handlers read the query parameters %q, %q are described", reads, says)
	}
}

// Each schema has the fields of its Go type, and requires those that are
// always there.
func TestOpenAPISchemas(t *testing.T) {
	doc := described(t)
	types := map[string]any{
		"Problem": Problem{}, "Readiness": readiness{}, "Status": Status{}, "Configuration": Configuration{}, "Flow": Flow{},
		"Pool": Pool{}, "Backend": Backend{}, "Active": Active{}, "Probe": Probe{}, "Drain": Drain{},
		"Socket": Socket{}, "SocketPage": SocketPage{}, "Outcome": Outcome{}, "Upgrade": Upgrade{}, "Event": Event{}, "Sample": Sample{}, "Plan": Plan{}, "PlannedBackend": PlannedBackend{},
		"Ejection": Ejection{}, "LoadReport": LoadReport{}, "Discovery": Discovery{}, "Governor": Governor{},
	}
	for name := range doc.Components.Schemas {
		if types[name] == nil {
			t.Errorf("schema %s belongs to no type", name)
		}
	}
	for name, value := range types {
		s, ok := doc.Components.Schemas[name]
		if !ok {
			t.Errorf("%s has no schema", name)
			continue
		}
		var fields, required []string
		typ := reflect.TypeOf(value)
		for i := range typ.NumField() {
			field, options, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if field == "-" {
				continue
			}
			fields = append(fields, field)
			if !strings.HasPrefix(options, "omit") {
				required = append(required, field)
			}
		}
		var says []string
		for property := range s.Properties {
			says = append(says, property)
		}
		for _, list := range [][]string{fields, required, says, s.Required} {
			slices.Sort(list)
		}
		if !slices.Equal(fields, says) {
			t.Errorf("schema %s has the fields %q, the type %q", name, says, fields)
		}
		if !slices.Equal(required, s.Required) {
			t.Errorf("schema %s requires %q, the type always has %q", name, s.Required, required)
		}
	}
}
