package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"

	"github.com/holdfast-lb/holdfast/internal/cause"
)

// Problem is why there is no TLS connection to a backend. Its texts hold no
// address.
type Problem struct {
	// Unverified: the backend was not believed. Otherwise it did not believe
	// us, or the two do not speak the same.
	Unverified bool
	What       string // in a few words
	Remedy     string // what the operator can do
}

// Explain puts an error of a TLS handshake, or of the first read behind it,
// into words. It is false for errors that are not TLS's own, such as those of
// the network.
func Explain(err error) (Problem, bool) {
	if err == nil {
		return Problem{}, false
	}
	if p, ok := unverified(err); ok {
		p.Unverified = true
		return p, true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return Problem{What: "no TLS at that port", Remedy: "write http:// or ws:// in the backend's url, or the port at which it speaks TLS"}, true
	}
	// Alerts of the peer have no type that is exported.
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return refusal(strings.TrimPrefix(op.Err.Error(), "tls: ")), true
	}
	if text := cause.Innermost(err).Error(); strings.HasPrefix(text, "tls: ") {
		return Problem{What: "TLS failed: " + strings.TrimPrefix(text, "tls: "), Remedy: seeForYourself}, true
	}
	return Problem{}, false
}

const seeForYourself = "look at the backend's TLS with openssl s_client; it must speak TLS 1.2 or 1.3"

func unverified(err error) (Problem, bool) {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return Problem{
			What:   "certificate is signed by an unknown authority",
			Remedy: "write the path of that authority's certificate to backend_tls.ca of the pool",
		}, true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return Problem{
			What:   "certificate is for another name",
			Remedy: "write a name that stands in the certificate to backend_tls.server_name of the pool, or use it in the backend's url",
		}, true
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if invalid.Reason == x509.Expired {
			return Problem{
				What:   "certificate has expired or is not valid yet",
				Remedy: "renew the backend's certificate, and see that the clocks of both machines are right",
			}, true
		}
		return Problem{What: "certificate is not valid", Remedy: "give the backend a certificate for servers that its authority may sign"}, true
	}
	if _, ok := errors.AsType[x509.SystemRootsError](err); ok {
		return Problem{
			What:   "this system has no authorities",
			Remedy: "write the path of the authority's certificate to backend_tls.ca of the pool, or install ca-certificates",
		}, true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return Problem{What: "certificate is not trusted", Remedy: "give the backend a valid certificate"}, true
	}
	return Problem{}, false
}

// refusal is about an alert of the backend's, by its name (RFC 8446, section
// 6.2).
func refusal(alert string) Problem {
	p := Problem{What: "TLS refused: " + alert, Remedy: seeForYourself}
	switch alert {
	case "bad certificate", "certificate required", "unsupported certificate", "revoked certificate", "expired certificate",
		"unknown certificate", "unknown certificate authority", "access denied":
		p.What = "client certificate refused: " + alert
		p.Remedy = "write a certificate that the backend takes, and its key, to backend_tls.cert and key of the pool"
	case "handshake failure": // with TLS 1.2 also the want of a client certificate
		p.Remedy = "if the backend asks for a client certificate, write it and its key to backend_tls.cert and key of the pool; otherwise " + seeForYourself
	case "unrecognized name":
		p.Remedy = "write a name that the backend has to backend_tls.server_name of the pool"
	}
	return p
}
