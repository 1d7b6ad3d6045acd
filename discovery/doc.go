// Package discovery finds backends where others write them down: in the DNS, in
// a file, or in a list that a server has.
//
// A [Set] has one goroutine for each pool with such a source. It asks the source
// again and again: a name when its TTL is over, a file and a server once an
// interval. What comes is a list of backends as the configuration might hold
// them, judged as strictly. Only a whole good answer counts. Whatever else
// happens (nothing comes, or late, or nonsense, or too much, or nothing is in
// it) is a trouble: the list before it stays, and the log has one line about each
// trouble until the source answers again. So a source that fails, hangs or lies
// in a way that can be seen takes no backend away.
//
// A source is an answer at a time (dns.go, file.go, http.go); what is made of
// answers is a pure core: records (records.go), and what is kept and told
// (book.go).
//
// # A reload
//
// [Set.Prepare] asks the sources that are new, all at the same time, within a
// bound, and leaves no trace. [Change.Commit] cannot fail: sources that are the
// same go on as if nothing had happened, those that went end, and a pool whose
// source has changed keeps what it has until the new one answers.
//
// The package knows no registry: it says that something has changed, and whoever
// hears it asks for the lists.
package discovery
