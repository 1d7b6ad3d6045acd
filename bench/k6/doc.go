// Package k6 holds scripts for k6: churn, a reconnect storm, and a day in a
// game's life; and the clients' side of package fleet: a drain, a crash, a
// server that comes back. Their thresholds fail a run; the tests here and there
// show that each does when what it guards is broken.
package k6
