package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/config"
)

// Long paths are matched a few at a time; a short one waits for none of them.
func TestLongPathsWait(t *testing.T) {
	w, err := compileRewrite(&config.Rewrite{Pattern: "^/a", Replacement: "/b"})
	if err != nil {
		t.Fatal(err)
	}
	for range cap(turns) {
		turns <- struct{}{}
	}
	if got := string(w.appendTo(nil, []byte("/a?"+strings.Repeat("x", 2*longPath)))); !strings.HasPrefix(got, "/b?xx") {
		t.Errorf("a short path has become %.20q", got)
	}
	matched := make(chan string, 1)
	go func() { matched <- string(w.appendTo(nil, []byte("/a"+strings.Repeat("x", longPath)))) }()
	select {
	case got := <-matched:
		t.Errorf("a long path has not waited, and become %.20q", got)
	case <-time.After(20 * time.Millisecond):
	}
	<-turns
	if got := <-matched; !strings.HasPrefix(got, "/bxx") {
		t.Errorf("a long path has become %.20q", got)
	}
	for range cap(turns) - 1 {
		<-turns
	}
}
