// Package k6 holds scripts for k6: churn, a reconnect storm, and a day in a
// game's life. Their thresholds fail a run; the package's tests show that each
// does when what it guards is broken.
package k6
