package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	koanfjson "github.com/knadh/koanf/parsers/json"
	koanftoml "github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/v2"
	"github.com/pelletier/go-toml/v2"
	"go.yaml.in/yaml/v3"
)

// errNotMapping refuses a file whose top level is a list or a lone value.
var errNotMapping = errors.New("has no keys at its top level, write keys and values as in listeners: [...]")

// parserFor gives the parser of a format, or, when format is empty, of the
// file's ending. Mistakes that need not stop the parser go into p.
func parserFor(format string, p *problems) (koanf.Parser, error) {
	if format == "" {
		ending := filepath.Ext(p.file)
		switch ending {
		case ".yaml", ".yml":
			format = "yaml"
		case ".toml", ".json":
			format = ending[1:]
		default:
			return nil, fmt.Errorf("the ending %q names no format, rename the file to end in .yaml, .yml, .toml or .json", ending)
		}
	}
	switch format {
	case "yaml":
		return yamlParser{problems: p}, nil
	case "toml":
		return tomlParser{TOML: koanftoml.Parser()}, nil
	case "json":
		return jsonParser{JSON: koanfjson.Parser(), problems: p}, nil
	}
	return nil, fmt.Errorf("%q is not a format, use yaml, toml or json", format)
}

// yamlParser reads through the tree of nodes, which koanf's own YAML parser
// does not show: a key given twice is then one mistake among the others, with
// its path, and a second document is not overlooked.
type yamlParser struct{ problems *problems }

// Unmarshal parses one YAML document whose top level is a mapping.
func (yp yamlParser) Unmarshal(data []byte) (map[string]any, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return map[string]any{}, nil
	} else if err != nil {
		return nil, invalid("YAML", withLine(err))
	}
	if err := decoder.Decode(new(yaml.Node)); err == nil {
		return nil, errors.New("holds more than one YAML document, keep one")
	} else if !errors.Is(err, io.EOF) {
		return nil, invalid("YAML", withLine(err))
	}
	if root := document.Content[0]; root.Kind == yaml.SequenceNode || root.Kind == yaml.ScalarNode && root.Tag != "!!null" {
		return nil, errNotMapping
	}
	if err := yamlBounds(&document); err != nil {
		return nil, err
	}
	dropDuplicates(&document, "", yp.problems)
	var tree map[string]any
	if err := document.Decode(&tree); err != nil {
		return nil, invalid("YAML", err)
	}
	return tree, nil
}

// grammar is an error of the package's parser, whose lines count from 0, unlike
// those of its scanner.
var grammar = regexp.MustCompile(`^yaml: (?:line (\d+): )?(did not find expected (?:'[,-]'|key$|node content$|<).*)$`)

// withLine gives a syntax error the line that it is in, or in which the list or
// mapping began that it is in.
func withLine(err error) error {
	m := grammar.FindStringSubmatch(err.Error())
	if m == nil {
		return err
	}
	line, _ := strconv.Atoi(m[1]) // none: 0
	return fmt.Errorf("line %d: %s", line+1, m[2])
}

// Marshal completes koanf.Parser; nothing is ever written.
func (yamlParser) Marshal(tree map[string]any) ([]byte, error) { return yaml.Marshal(tree) }

// tomlParser gives syntax errors their line. TOML itself refuses a key that is
// given twice.
type tomlParser struct{ *koanftoml.TOML }

// Unmarshal parses one TOML document.
func (tp tomlParser) Unmarshal(data []byte) (map[string]any, error) {
	if err := tomlBounds(data); err != nil {
		return nil, err
	}
	tree, err := tp.TOML.Unmarshal(data)
	if syntax, ok := errors.AsType[*toml.DecodeError](err); ok {
		line, _ := syntax.Position()
		err = fmt.Errorf("line %d: %w", line, err)
	}
	if err != nil {
		return nil, invalid("TOML", err)
	}
	return tree, treeBounds(tree, maxDepth)
}

// jsonParser gives syntax errors their line and finds keys that are given
// twice, of which encoding/json silently takes the last.
type jsonParser struct {
	*koanfjson.JSON
	problems *problems
}

// Unmarshal parses one JSON object.
func (jp jsonParser) Unmarshal(data []byte) (map[string]any, error) {
	tree, err := jp.JSON.Unmarshal(data)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		line := 1 + bytes.Count(data[:min(syntax.Offset, int64(len(data)))], []byte("\n"))
		err = fmt.Errorf("line %d: %w", line, err)
	}
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return nil, errNotMapping
	}
	if err != nil {
		return nil, invalid("JSON", err)
	}
	if err := treeBounds(tree, maxDepth); err != nil {
		return nil, err
	}
	findDuplicates(json.NewDecoder(bytes.NewReader(data)), "", jp.problems)
	return tree, nil
}

// invalid is one line about a file that its format's parser refused. The
// parsers' own package names say nothing to the reader.
func invalid(format string, err error) error {
	text := err.Error()
	for _, prefix := range []string{"yaml: ", "unmarshal errors:", "toml: ", "json: "} {
		text = strings.Replace(text, prefix, "", 1)
	}
	return fmt.Errorf("is not valid %s: %s", format, strings.Join(strings.Fields(text), " "))
}
