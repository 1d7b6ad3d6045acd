package config

import (
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// dropDuplicates reports every key that a YAML mapping holds twice and keeps
// the first, so that the rest of the file can still be checked. It looks at
// mappings where they are written, not where an alias repeats them. The tree is
// within [yamlBounds].
func dropDuplicates(node *yaml.Node, path string, p *problems) {
	switch node.Kind {
	case yaml.DocumentNode:
		for _, child := range node.Content {
			dropDuplicates(child, path, p)
		}
	case yaml.SequenceNode:
		for i, child := range node.Content {
			dropDuplicates(child, joinIndex(path, i), p)
		}
	case yaml.MappingNode:
		seen := map[string]int{}
		kept := node.Content[:0]
		for i := 0; i+1 < len(node.Content); i += 2 {
			key, value := node.Content[i], node.Content[i+1]
			keyPath := joinKey(path, key.Value)
			// An alias has its name in Value.
			if line, twice := seen[key.Value]; twice && key.Kind == yaml.ScalarNode {
				p.add(keyPath, "is given twice, in lines %d and %d, keep one", line, key.Line)
				continue
			}
			seen[key.Value] = key.Line
			dropDuplicates(value, keyPath, p)
			kept = append(kept, key, value)
		}
		node.Content = kept
	}
}

// findDuplicates reports every key that a JSON object holds twice. It reads one
// value from a decoder whose input is known to be valid and within [treeBounds].
func findDuplicates(decoder *json.Decoder, path string, p *problems) {
	token, err := decoder.Token()
	if err != nil {
		return
	}
	switch token {
	case json.Delim('{'):
		seen := map[string]bool{}
		for decoder.More() {
			token, err := decoder.Token()
			if err != nil {
				return
			}
			key := fmt.Sprint(token)
			if seen[key] {
				p.add(joinKey(path, key), "is given twice, keep one")
			}
			seen[key] = true
			findDuplicates(decoder, joinKey(path, key), p)
		}
	case json.Delim('['):
		for i := 0; decoder.More(); i++ {
			findDuplicates(decoder, joinIndex(path, i), p)
		}
	default:
		return
	}
	_, _ = decoder.Token() // the closing bracket
}
