package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-lb/holdfast/internal/spelling"
)

// HeaderVariables may stand in the values of headers rules.
var HeaderVariables = []string{"backend", "client_cert_subject", "client_ip", "host", "request_id", "tls_version"}

// RedirectVariables may stand in the target of a redirect.
var RedirectVariables = []string{"host", "path", "query"}

// Template is a text with variables in it, in order.
type Template []TemplatePart

// TemplatePart is either a text or the name of a variable.
type TemplatePart struct{ Text, Variable string }

// ParseTemplate reads a text in which $name or ${name} stands for a variable,
// which must be one of known, and $$ for a dollar sign.
func ParseTemplate(text string, known []string) (Template, error) {
	var t Template
	var plain strings.Builder
	flush := func() {
		if plain.Len() > 0 {
			t = append(t, TemplatePart{Text: plain.String()})
			plain.Reset()
		}
	}
	for {
		before, rest, found := strings.Cut(text, "$")
		plain.WriteString(before)
		if !found {
			flush()
			return t, nil
		}
		if after, dollar := strings.CutPrefix(rest, "$"); dollar {
			plain.WriteByte('$')
			text = after
			continue
		}
		name, after := variableName(rest)
		if !slices.Contains(known, name) {
			return nil, unknownVariable(name, known)
		}
		flush()
		t = append(t, TemplatePart{Variable: name})
		text = after
	}
}

// variableName cuts the name of a variable off what stands behind its dollar
// sign. The name is empty if there is none.
func variableName(text string) (name, rest string) {
	if inner, ok := strings.CutPrefix(text, "{"); ok {
		if name, rest, ok = strings.Cut(inner, "}"); ok {
			return name, rest
		}
		return "", text
	}
	n := 0
	for n < len(text) && (text[n] == '_' || 'a' <= text[n] && text[n] <= 'z') {
		n++
	}
	return text[:n], text[n:]
}

func unknownVariable(name string, known []string) error {
	if name == "" {
		return fmt.Errorf("has a $ without the name of a variable behind it, write $$ for a dollar sign")
	}
	if near, ok := spelling.Nearest(name, known); ok {
		return fmt.Errorf("there is no variable $%s here, did you mean $%s?", name, near)
	}
	return fmt.Errorf("there is no variable $%s here, use one of $%s, or $$ for a dollar sign", name, strings.Join(known, ", $"))
}
