package config

import (
	"fmt"
	"strconv"

	"github.com/pelletier/go-toml/v2/unstable"
	"go.yaml.in/yaml/v3"
)

// What a text may be before it is made into a tree: the parsers, and koanf
// behind them, take time and memory by the square of its depth and of the keys
// of one mapping. No configuration comes near.
const (
	maxDepth    = 16
	maxKeys     = 20_000           // in one mapping
	maxCompared = maxKeys * 10_000 // pairs of keys, all mappings together
)

var (
	errTooDeep     = fmt.Errorf("is nested more than %d deep, and no key lies so deep", maxDepth)
	errTooManyKeys = fmt.Errorf("has too many keys, %d are the most of one mapping", maxKeys)
)

// yamlBounds refuses a tree of nodes that would be dear to decode. Aliases are
// not followed: the decoder has its own bound for what they repeat.
func yamlBounds(root *yaml.Node) error {
	compared := 0
	var within func(node *yaml.Node, depth int) error
	within = func(node *yaml.Node, depth int) error {
		if depth > maxDepth+1 { // the document is a level too
			return errTooDeep
		}
		if node.Kind == yaml.MappingNode {
			keys := len(node.Content) / 2
			if compared += keys * (keys - 1) / 2; keys > maxKeys || compared > maxCompared {
				return fmt.Errorf("line %d: %w", node.Line, errTooManyKeys)
			}
			for i := 0; i < len(node.Content); i += 2 {
				key := node.Content[i]
				if key.Kind == yaml.AliasNode {
					key = key.Alias
				}
				if key.Kind != yaml.ScalarNode {
					return fmt.Errorf("line %d: a key is a list or a mapping, write a name", node.Content[i].Line)
				}
			}
		}
		for _, child := range node.Content {
			if err := within(child, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return within(root, 0)
}

// tomlBounds refuses a text that would be dear to parse: the parser compares
// each key with those before it in the same table. What is wrong with the text
// otherwise the parser tells.
func tomlBounds(data []byte) error {
	var p unstable.Parser
	p.Reset(data)
	s := tomlSize{headers: map[string]int{}}
	inTable := 0 // keys since the last header
	for p.NextExpression() {
		node := p.Expression()
		fits := true
		switch node.Kind {
		case unstable.Table, unstable.ArrayTable:
			inTable = 0
			fits = s.header(node.Key())
		case unstable.KeyValue:
			fits = s.keyValue(node, maxDepth, &inTable)
		}
		if !fits {
			return errTooDeep
		}
		if s.compared > maxCompared || inTable > maxKeys {
			return errTooManyKeys
		}
	}
	return nil
}

// tomlSize adds up what a text costs.
type tomlSize struct {
	headers  map[string]int // a table's path: how many tables lie directly in it
	compared int
}

// header counts a table's header. It is false when that is too deep.
func (s *tomlSize) header(key unstable.Iterator) bool {
	path := ""
	for depth := maxDepth; key.Next(); depth-- {
		if depth == 0 {
			return false
		}
		parent := path
		path += strconv.Quote(string(key.Node().Data))
		if _, known := s.headers[path]; !known {
			s.headers[path] = 0
			s.headers[parent]++
			s.compared += s.headers[parent]
		}
	}
	return true
}

// keyValue counts a key, which has so many beside it, and what lies in its value.
func (s *tomlSize) keyValue(node *unstable.Node, depth int, beside *int) bool {
	*beside++
	s.compared += *beside
	for key := node.Key(); key.Next(); depth-- {
		if depth == 0 {
			return false
		}
	}
	return s.value(node.Value(), depth)
}

func (s *tomlSize) value(node *unstable.Node, depth int) bool {
	inTable := 0
	for it := node.Children(); it.Next(); {
		child := it.Node()
		switch {
		case depth == 0:
			return false
		case child.Kind == unstable.KeyValue:
			if !s.keyValue(child, depth, &inTable) {
				return false
			}
		case !s.value(child, depth-1):
			return false
		}
	}
	return true
}

// treeBounds refuses a tree that koanf would take long for.
func treeBounds(tree any, depth int) error {
	var children []any
	switch t := tree.(type) {
	case map[string]any:
		if len(t) > maxKeys {
			return errTooManyKeys
		}
		for _, child := range t {
			children = append(children, child)
		}
	case []any:
		children = t
	default:
		return nil
	}
	if depth == 0 {
		return errTooDeep
	}
	for _, child := range children {
		if err := treeBounds(child, depth-1); err != nil {
			return err
		}
	}
	return nil
}
