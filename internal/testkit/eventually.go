package testkit

import (
	"testing"
	"time"
)

// Eventually calls cond every few milliseconds until it is true, and ends the
// test if it is not within that time. cond runs on the caller's goroutine. what
// finishes the sentence "not within 2s: ...".
func Eventually(t testing.TB, within time.Duration, cond func() bool, what string) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
