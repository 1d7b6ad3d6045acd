// Package certs has the certificates that listeners serve, and makes of
// listeners[].tls what crypto/tls works with.
//
// A [Store] lives as long as the process. [Store.Prepare] reads the files that
// a configuration names, finds every mistake in them, and changes nothing;
// [Change.Commit] puts the result in force. [Store.Config] is what a listener
// gets: a tls.Config that may be kept and must not be changed, by which every
// handshake finds what is in force at that moment. No open connection notices
// any of this.
//
// Files that change are read again by themselves: one goroutine looks at them
// every few seconds, takes what has settled, and keeps what was read before if
// something is wrong, such as a certificate whose key is not there yet. It says
// so once, and warns of certificates that end.
//
// # ACME
//
// Domains of acme blocks are ordered and renewed by certmagic, in the
// background, from when a Change with them is committed. What it has stored is
// served at once. An authority's question comes to a listener: in clear, where
// [Store.Challenge] has the answer, or as a handshake, which is answered here.
// A refusal is logged and repeated after longer and longer pauses, and leaves
// in use what is there.
//
// # Which certificate
//
// The one that has the client's server name (RFC 6066, section 3): exactly,
// or else by a wildcard for its first label. Several may have a name, such as
// one with an ECDSA and one with an RSA key: the first that the client
// supports is served. A client that names none, or one that no certificate
// has, gets the first certificate of the list.
//
// # Who may come in
//
// With client_ca, a client must show a certificate that is signed by one of
// the authorities in that file. Versions are TLS 1.2 and 1.3; of TLS 1.2 the
// suites are those with forward secrecy and authenticated encryption, unless
// the configuration has others. ALPN (RFC 7301) agrees on http/1.1.
//
// # Sessions
//
// Session tickets are sealed with keys that crypto/tls makes, changes every
// day and forgets after a week. They belong to the Store, so a client resumes
// its session at any listener and after any reload; but only where the same
// authorities of clients are trusted as where it began.
package certs
