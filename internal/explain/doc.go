// Package explain has a stable code and a page for everything that Holdfast
// tells a client or an operator went wrong: what it is called, what causes it,
// where to look and what helps.
//
// The table is the one source of docs/troubleshooting.md, of `holdfast explain`
// and of the cause and remedy in the log. A new kind of failure is one row in
// the file of its thousand. Tests see to the rest: every class of package proxy
// has a row, every row is sorted, complete and in docs/troubleshooting.md
// (go test ./internal/explain -update writes it), and every code stands in a
// test of another package, which provokes it.
//
// A code is never given to another failure, also when its own is gone.
package explain
