// Package e2e tests the holdfast binary as its users meet it: a process with a
// configuration file, signals, sockets, log files and an admin address. It
// holds nothing but tests.
//
// TestMain builds the binary once, with the race detector if the tests have
// it. A [setup] written as a few lines of YAML becomes a [process] on ports of
// its own; backends are those of internal/testkit, servers of net/http, bare
// TCP, or, where a crash is the subject, child processes of the tests. Nothing
// sleeps in the hope that something has happened meanwhile: tests wait for a
// metric, the admin API, a line of a log or a byte.
//
// A process that logs a data race or a panic, or does not end when told to,
// fails its test, and a failed test shows the end of the process's log.
//
// The sizes of the tests fit a run of everything in under a minute on two
// cores. scripts/e2e-long.sh, or -args -long, runs them at full size: a gigabyte
// up and down, 100 reloads under 1,000 sockets.
package e2e
