// Package fleet shows what Holdfast does to a fleet of game servers when one of
// them is drained, dies, or comes back: each server is a process, thousands of
// sockets are held by k6, and what the servers and the clients saw is kept as
// JSON and drawn as SVG. A [Run] whose promise was not kept is an error.
//
// The scripts in bench/k6 have the clients' side, with thresholds; this package
// starts what is around them, and has the servers' side.
package fleet
