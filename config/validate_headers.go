package config

import (
	"maps"
	"slices"
	"strings"
)

// direction is which of a route's messages header rules change.
type direction int

const (
	toBackend direction = iota
	toClient
)

// headers checks the rules of one direction.
func (v validator) headers(path string, rules HeaderRules, d direction) {
	owners := map[string]string{}
	name := func(rulePath, verb, name string) bool {
		if why := refusedHeader(verb, name, d); why != "" {
			v.check(rulePath, "%q %s", name, why)
			return false
		}
		lower := strings.ToLower(name)
		if first, taken := owners[lower]; taken {
			v.check(rulePath, "%q stands under %s already, keep one", name, first)
			return false
		}
		owners[lower] = verb
		return true
	}
	write := func(verb string, fields map[string]string) {
		for _, field := range slices.Sorted(maps.Keys(fields)) {
			rulePath := joinKey(path+"."+verb, field)
			if name(rulePath, verb, field) {
				v.headerValue(rulePath, field, fields[field])
			}
		}
	}
	write("set", rules.Set)
	write("add", rules.Add)
	for i, field := range rules.Remove {
		name(joinIndex(path+".remove", i), "remove", field)
	}
}

func (v validator) headerValue(path, name, value string) {
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		v.check(path, "%q has a line end or another control character, write one line", value)
		return
	}
	if strings.TrimSpace(value) == "" {
		v.check(path, "is empty, write a value, or the name under remove")
		return
	}
	t, err := ParseTemplate(value, HeaderVariables)
	if err != nil {
		v.check(path, "%v", err)
		return
	}
	// A handshake that goes on at another backend keeps its Host.
	if strings.EqualFold(name, "host") && slices.Contains(t, TemplatePart{Variable: "backend"}) {
		v.check(path, "Host cannot depend on $backend, write preserve_host: false for the backend's own address")
	}
}

// refusedHeader is why a rule must not touch a field, empty if it may. Many
// gateways take an underscore for a hyphen, and so does this.
func refusedHeader(verb, name string, d direction) string {
	const ours = "is written by Holdfast for each connection, remove the rule"
	if !isToken(name) {
		return "is not the name of a header, write letters, digits and -_"
	}
	lower := strings.ReplaceAll(strings.ToLower(name), "_", "-")
	switch lower {
	case "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization",
		"te", "trailer", "transfer-encoding", "upgrade", "expect", "content-length":
		return ours
	case "host":
		if d == toClient {
			return "is a field of requests, remove the rule"
		}
		if verb != "set" {
			return "is in every request exactly once, write it under set"
		}
	case "date":
		if d == toClient {
			return ours
		}
	case "x-client-cert-subject":
		if d == toBackend {
			return "is written by Holdfast from the certificate that the client has shown and by nobody else, remove the rule; other fields may have $client_cert_subject"
		}
	case "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id", "forwarded":
		if d == toBackend && verb == "add" {
			return "is in a request once, write it under set"
		}
	case "sec-websocket-extensions", "sec-websocket-protocol":
		// What is not offered is not agreed on; anything else would make the
		// two ends disagree.
		if d == toBackend && verb == "remove" {
			return ""
		}
		return "is agreed between client and backend, remove the rule, or take it out of requests"
	}
	if strings.HasPrefix(lower, "sec-websocket-") {
		return "belongs to the handshake of client and backend, remove the rule"
	}
	return ""
}
