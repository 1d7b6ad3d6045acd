// Package peers runs the balancers that are compared, each with a
// configuration that does the same work: two threads, least connections over
// the same backends, health checks where the peer has them, no logging,
// timeouts that no measurement reaches.
//
// The configurations are the *.tmpl files beside this one, with what was
// tuned and why in their comments; [Start] fills in the ports. A sceptic who
// knows a better setting changes the file and runs again. To add a peer, add
// its template and an entry to the table in peer.go.
package peers
