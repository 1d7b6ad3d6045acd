// Package wss drives WebSockets over TLS: pingpong, churn and idle of package
// load, with the same plans and results, a goroutine for each socket.
//
// The generator of package load is leaner, and speaks no TLS. Here the
// generator's own cost is of the order of what it measures (it does the other
// half of each handshake and each record), so that rates lie closer together
// than the balancers do: the balancer's own CPU time for an operation says
// more.
//
// So that all balancers do the same work, the client offers one group (X25519),
// and a connection that agrees on anything but TLS 1.3 with AES-128-GCM is an
// error, as is one that should have resumed a session and did not.
package wss
