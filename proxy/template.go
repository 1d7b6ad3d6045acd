package proxy

import (
	"crypto/tls"
	"net/netip"
	"slices"
	"strings"

	"github.com/holdfast-lb/holdfast/config"
)

// template is a compiled text with variables in it.
type template []piece

// piece is a text or a variable.
type piece struct {
	text     string
	variable variable
}

// variable is what a piece stands for.
type variable uint8

const (
	noVariable variable = iota
	varBackend
	varClientCertSubject
	varClientIP
	varHost
	varPath
	varQuery
	varQueryBehindMark // with its question mark, or nothing
	varQueryBehindAmp  // with an ampersand, or nothing
	varRequestID
	varTLSVersion
)

var variables = map[string]variable{
	"backend": varBackend, "client_cert_subject": varClientCertSubject, "client_ip": varClientIP, "host": varHost, "path": varPath, "query": varQuery,
	"request_id": varRequestID, "tls_version": varTLSVersion,
}

// facts are what the variables stand for in one exchange. The slices are
// borrowed.
type facts struct {
	ip      netip.Addr // of the client; invalid: unknown
	host    []byte     // that the client asked for, as sent
	path    []byte
	query   []byte
	id      []byte
	tls     uint16 // version; 0: no TLS
	subject []byte // of the client's certificate; empty: none
	backend string // name; empty: none

	// scheme and public are how the client reached us, or the first of the
	// proxies that we trust; sent is the Host that the backend was sent.
	scheme       string
	public, sent []byte
}

// compileTemplate compiles a text that may have the known variables.
func compileTemplate(text string, known []string) (template, error) {
	parts, err := config.ParseTemplate(text, known)
	if err != nil {
		return nil, err
	}
	t := make(template, 0, len(parts))
	for _, part := range parts {
		p := piece{text: part.Text, variable: variables[part.Variable]}
		if last := len(t) - 1; p.variable == varQuery && last >= 0 {
			if before, ok := strings.CutSuffix(t[last].text, "?"); ok {
				t[last].text, p.variable = before, varQueryBehindMark
			} else if before, ok := strings.CutSuffix(t[last].text, "&"); ok {
				t[last].text, p.variable = before, varQueryBehindAmp
			}
		}
		t = append(t, p)
	}
	return t, nil
}

// has tells whether the variable is in the text.
func (t template) has(v variable) bool {
	return slices.ContainsFunc(t, func(p piece) bool { return p.variable == v })
}

// appendTo appends the text with the facts in it.
func (t template) appendTo(dst []byte, f *facts) []byte {
	for i := range t {
		switch p := &t[i]; p.variable {
		case noVariable:
			dst = append(dst, p.text...)
		case varBackend:
			dst = append(dst, f.backend...)
		case varClientCertSubject:
			dst = append(dst, f.subject...)
		case varClientIP:
			if f.ip.IsValid() {
				dst = f.ip.AppendTo(dst)
			}
		case varHost:
			var lower [256]byte
			if name := hostName(lower[:0], f.host); validHost(name) {
				dst = append(dst, name...)
			}
		case varPath:
			dst = appendEscaped(dst, f.path)
		case varQuery:
			dst = appendEscaped(dst, f.query)
		case varQueryBehindMark:
			dst = appendQuery(dst, '?', f.query)
		case varQueryBehindAmp:
			dst = appendQuery(dst, '&', f.query)
		case varRequestID:
			dst = append(dst, f.id...)
		case varTLSVersion:
			switch f.tls {
			case tls.VersionTLS12:
				dst = append(dst, "TLSv1.2"...)
			case tls.VersionTLS13:
				dst = append(dst, "TLSv1.3"...)
			}
		}
	}
	return dst
}

func appendQuery(dst []byte, mark byte, query []byte) []byte {
	if len(query) == 0 {
		return dst
	}
	return appendEscaped(append(dst, mark), query)
}

// appendEscaped appends part of a URL as the client sent it, but for what must
// not stand in a field or would be misread in one.
func appendEscaped(dst, part []byte) []byte {
	const hex = "0123456789ABCDEF"
	for _, c := range part {
		if c <= ' ' || c >= 0x7f || c == '"' || c == '<' || c == '>' || c == '\\' {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
			continue
		}
		dst = append(dst, c)
	}
	return dst
}
