package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func TestSubject(t *testing.T) {
	f := func(name pkix.Name, want string) {
		t.Helper()
		leaf := &x509.Certificate{Subject: name}
		state := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
		if got := subjectOf(state); got != nil {
			t.Errorf("unverified it is %q", got)
		}
		state.VerifiedChains = [][]*x509.Certificate{{leaf}}
		if got := string(subjectOf(state)); got != want {
			t.Errorf("the subject is %q, want %q", got, want)
		}
	}
	f(pkix.Name{CommonName: "ada", Organization: []string{"Players"}}, "CN=ada,O=Players")
	f(pkix.Name{CommonName: "Zoë, of Ghent"}, `CN=Zo\C3\AB\, of Ghent`)
	f(pkix.Name{CommonName: "a\r\nX-Admin: 1"}, `CN=a\0D\0AX-Admin: 1`)
	f(pkix.Name{}, "")
	if subjectOf(nil) != nil {
		t.Error("without TLS there is a subject")
	}
}

// Only this proxy says who a client is, also behind proxies that are trusted,
// and also to an auth server.
func TestSubjectIsNotForged(t *testing.T) {
	const forged = "Host: a\nX-Client-Cert-Subject: CN=root\nx_client-cert_SUBJECT: CN=root\nX-Client-Cert-Subjects: kept\nConnection: X-Client-Cert-Subject"
	for _, trusted := range []bool{false, true} {
		h := plainHead()
		h.trusted, h.subject = trusted, []byte("CN=ada")
		var b fieldBlock
		b.parse([]byte(crlf(forged)))
		want := "GET /x HTTP/1.1\r\nHost: a\r\nX-Client-Cert-Subjects: kept\r\n" + own[:len(own)-2] + "X-Client-Cert-Subject: CN=ada\r\n\r\n"
		if got := string(h.appendTo(nil, &b)); got != want {
			t.Errorf("trusted %t:\n%q\nwant\n%q", trusted, got, want)
		}
		h.subject = nil
		want = "GET /x HTTP/1.1\r\nHost: a\r\nX-Client-Cert-Subjects: kept\r\n" + own
		if got := string(h.appendTo(nil, &b)); got != want {
			t.Errorf("trusted %t, without a certificate:\n%q\nwant\n%q", trusted, got, want)
		}
	}
}

// An authority's question is answered before routes and redirects, in clear
// alone; whatever else is asked below its path goes on.
func TestChallenge(t *testing.T) {
	backend := &testkit.Backend{}
	backend.Start(t)
	cfg := configOf(backend.Addr)
	cfg.Listeners[0].RedirectHTTPS = 443
	r := start(t, cfg)
	r.proxy.challenge = func(host, path string) (string, bool) {
		return "token.thumb", host == "game.example" && path == challengePath+"token"
	}
	f := func(request, status, body string) {
		t.Helper()
		got := r.exchange(t, strings.Replace(request, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
		if !strings.HasPrefix(got, "HTTP/1.1 "+status+" ") || !strings.HasSuffix(got, body) {
			t.Errorf("%q: %q, want %s %q", request, got, status, body)
		}
	}
	f("GET /.well-known/acme-challenge/token HTTP/1.1\r\nHost: game.example\r\n\r\n", "200", "token.thumb")
	f("GET /.well-known/acme-challenge/other HTTP/1.1\r\nHost: game.example\r\n\r\n", "308", "")
	f("GET /.well-known/acme-challenge/token HTTP/1.1\r\nHost: other.example\r\n\r\n", "308", "")
	f("POST /.well-known/acme-challenge/token HTTP/1.1\r\nHost: game.example\r\nContent-Length: 0\r\n\r\n", "308", "")
	f("GET /token HTTP/1.1\r\nHost: game.example\r\n\r\n", "308", "")
}

// What rules write is of this connection's certificate.
func TestSubjectVariable(t *testing.T) {
	tmpl, err := compileTemplate("<$client_cert_subject>", config.HeaderVariables)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(tmpl.appendTo(nil, &facts{subject: []byte("CN=ada")})); got != "<CN=ada>" {
		t.Error(got)
	}
}
