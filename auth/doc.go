// Package auth judges who may come in by what a client brings: a name and a
// password ([Basic]), a signed token ([Tokens], with [Keys] or a secret), or
// the word of another server ([Forward]).
//
// It knows nothing of routes and writes no answers: it gets what the client
// sent and returns a [Verdict]. Nothing that a client or a file brings as a
// secret is in an error, a log line or a String of this package. What is
// compared with a secret is compared in constant time.
//
// Basic and Tokens come from files that are read once; whoever wants a changed
// file makes new ones. Keys and Forward talk to servers. Keys have one
// goroutine, which ends with Close; the others have none.
package auth

// Verdict says whether a client may come in, and if not, why.
type Verdict uint8

// The verdicts. The zero value lets nobody in.
const (
	Missing  Verdict = iota // no credentials
	Wrong                   // malformed, unknown, or not signed by whom they should be
	Expired                 // a token that was good before
	Audience                // a token for somebody else
	Busy                    // too many passwords to verify at a time
	NoKeys                  // the keys for tokens have not been fetched yet
	Pass
)
