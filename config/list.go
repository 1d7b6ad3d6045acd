package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// ErrTooMany is the error of [ParseBackends] for a list that is too long.
var ErrTooMany = errors.New("there are too many")

// isListFile tells whether a file's ending is that of a list of backends.
func isListFile(path string) bool {
	switch filepath.Ext(path) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// ParseBackends reads a list of backends as a Pool has it, from a file or an
// answer that is called name, and is YAML or JSON by the ending of that. It is
// as strict as [Load]: the error is an [Errors] that lists every mistake, or says
// that there are more than limit, which is [ErrTooMany].
func ParseBackends(data []byte, name string, limit int) ([]Backend, error) {
	p := &problems{file: name, sources: map[string]string{}, given: map[string]bool{}}
	var raw []any
	var err error
	if filepath.Ext(name) == ".json" {
		raw, err = jsonList(data, limit, p)
	} else {
		raw, err = yamlList(data, limit, p)
	}
	if errors.Is(err, ErrTooMany) {
		return nil, fmt.Errorf("%w: more than %d", ErrTooMany, limit)
	}
	if err != nil {
		p.add("", "%v", err)
		return nil, p.errs
	}
	var list []Backend
	decode(p, raw, &list)
	for i := range list {
		if b := &list[i]; b.Name == "" {
			_, b.Name = b.Target()
		}
	}
	if len(list) > 0 && !p.full() { // none is no mistake here
		validator{p}.backends("", list)
	}
	if _, err := p.result(); err != nil {
		return nil, err
	}
	return list, nil
}

// jsonList reads one JSON list of at most limit elements, and no further.
func jsonList(data []byte, limit int, p *problems) (list []any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	if token, err := decoder.Token(); err != nil {
		return nil, invalid("JSON", err)
	} else if token != json.Delim('[') {
		return nil, errNotList
	}
	for decoder.More() {
		if len(list) == limit {
			return nil, ErrTooMany
		}
		var one any
		if err := decoder.Decode(&one); err != nil {
			return nil, invalid("JSON", err)
		}
		if err := treeBounds(one, maxDepth); err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	if _, err := decoder.Token(); err != nil { // the closing bracket
		return nil, invalid("JSON", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("is not valid JSON: something follows the list")
	}
	findDuplicates(json.NewDecoder(bytes.NewReader(data)), "", p)
	return list, nil
}

var errNotList = errors.New("is not a list, write [{url: ...}, {url: ...}]")

// yamlList reads one YAML list of at most limit elements.
func yamlList(data []byte, limit int, p *problems) (list []any, err error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, invalid("YAML", withLine(err))
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("holds more than one YAML document, keep one")
	}
	switch root := document.Content[0]; {
	case root.Kind == yaml.ScalarNode && root.Tag == "!!null":
		return nil, nil
	case root.Kind != yaml.SequenceNode:
		return nil, errNotList
	case len(root.Content) > limit:
		return nil, ErrTooMany
	}
	if err := yamlBounds(&document); err != nil {
		return nil, err
	}
	dropDuplicates(&document, "", p)
	if err := document.Decode(&list); err != nil {
		return nil, invalid("YAML", err)
	}
	return list, nil
}
