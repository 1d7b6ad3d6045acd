package demo

import (
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// farewellTime is how long players may take to answer the Close frame of a
// fleet that ends.
const farewellTime = 400 * time.Millisecond

// life is one server from its start to its stop. Another start is another
// life: nothing of the one before is remembered.
type life struct {
	fleet *Fleet
	name  string
	ln    *listener
	arena *arena

	served chan struct{} // closed when fasthttp's accept loop has ended
}

// startLife serves on ln, which it owns from here on.
func startLife(f *Fleet, name string, ln net.Listener) *life {
	l := &life{
		fleet: f, name: name,
		ln:     &listener{Listener: ln, open: make(map[*conn]struct{})},
		arena:  newArena(name),
		served: make(chan struct{}),
	}
	server := &fasthttp.Server{
		Handler:                      l.handle,
		NoDefaultServerHeader:        true,
		ReadTimeout:                  10 * time.Second,
		WriteTimeout:                 10 * time.Second,
		IdleTimeout:                  2 * time.Minute, // longer than a balancer keeps a connection
		ReadBufferSize:               16 << 10,
		MaxRequestBodySize:           1 << 10,
		DisablePreParseMultipartForm: true,
		MaxIdleWorkerDuration:        500 * time.Millisecond, // its cleaner outlives Serve for as long
		Logger:                       fasthttpLog{f.log},
	}
	go func() {
		defer close(l.served)
		_ = server.Serve(l.ln) // its only error is that stop closed the listener
	}()
	return l
}

// kill ends everything at once, without a word to anybody.
func (l *life) kill() {
	l.ln.stop()
	l.ln.reset()
	l.arena.close(farewell{})
	l.wait()
}

// close says goodbye to players, then ends what is left.
func (l *life) close() {
	l.ln.stop()
	l.arena.close(farewell{code: 1001, reason: l.name + " is going away"})
	select {
	case <-l.arena.deserted():
	case <-time.After(farewellTime):
	}
	l.ln.reset() // idle keep-alive connections, and players who did not answer
	l.wait()
}

func (l *life) wait() {
	<-l.served
	l.ln.running.Wait()
	l.arena.running.Wait()
}

// fasthttpLog lets fasthttp complain in our log. What it has to say is about
// single connections, hence debug.
type fasthttpLog struct{ log *slog.Logger }

func (f fasthttpLog) Printf(format string, args ...any) {
	f.log.Debug("demo: " + fmt.Sprintf(format, args...))
}
