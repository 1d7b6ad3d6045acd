// Package report turns runs into tables: for each scenario and balancer the
// median of all rounds, how far the rounds spread, and the ratio to a peer.
//
// A ratio is the median of the ratios of the rounds, each between two runs
// that followed each other: whatever else the machine did during a round
// weighed on both. The spread is (highest - lowest) / median. A balancer with
// a failed round is shown as failed, with the reason, and has no figure.
//
// The package reads and writes no file and knows no clock.
package report
