package proxy

import "crypto/tls"

// subjectOf returns the subject of the client's certificate as RFC 4514 writes
// it, in printable ASCII, so that it fits into a header field; empty if none
// was shown.
func subjectOf(state *tls.ConnectionState) []byte {
	// Of the verified chains, so that nothing is said of a certificate that
	// somebody forgot to have verified.
	if state == nil || len(state.VerifiedChains) == 0 {
		return nil
	}
	return appendSubject(nil, state.VerifiedChains[0][0].Subject.String())
}

// appendSubject appends the text with what is no printable ASCII in hexadecimal
// (RFC 4514, section 2.4).
func appendSubject(dst []byte, text string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= 0x7f {
			dst = append(dst, '\\', hex[c>>4], hex[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}
