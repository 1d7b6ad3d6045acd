package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// proxy is where the environment says that the way to other machines is.
var proxy string

func TestMain(m *testing.M) {
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		proxy = l.Addr().String()
		_ = l.Close()
	}
	_ = os.Setenv("HTTP_PROXY", "http://"+proxy) // read once in a process
	testkit.Main(m)
}

func TestProxyOfTheEnvironment(t *testing.T) {
	l, err := net.Listen("tcp", proxy)
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Value
	s := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked.Store(r.RequestURI) })}
	go func() { _ = s.Serve(l) }()
	defer s.Close()
	c := NewClient(Options{Timeout: 10 * time.Second, Again: func(int) bool { return false }})
	defer c.HTTPClient.CloseIdleConnections()
	if err := Post(t.Context(), c, "http://directory.test/list", nil, http.Header{}); err != nil || asked.Load() != "http://directory.test/list" {
		t.Errorf("the proxy was asked for %v, error %v", asked.Load(), err)
	}
}

func TestRetryBroken(t *testing.T) {
	f := func(err error, want bool) {
		t.Helper()
		err = &url.Error{Op: "Get", URL: "http://a/", Err: err}
		if again, err := RetryBroken(t.Context(), nil, err); again != want || err != nil {
			t.Errorf("%v: another attempt: %v, %v", err, again, err)
		}
	}
	f(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, true)
	f(&net.OpError{Op: "read", Err: syscall.ECONNRESET}, true)
	f(io.EOF, true)
	f(fmt.Errorf("body: %w", io.ErrUnexpectedEOF), true)
	f(&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, false)
	f(context.DeadlineExceeded, false)
	f(errors.New("malformed HTTP response"), false)
	if again, _ := RetryBroken(t.Context(), &http.Response{StatusCode: 503}, nil); again {
		t.Error("an answer is asked for twice")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if again, _ := RetryBroken(ended, nil, io.EOF); again {
		t.Error("another attempt for nobody")
	}
}

// What is tried again, what is not, and what an error tells.
func TestPost(t *testing.T) {
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch r.URL.Path {
		case "/busy":
			w.WriteHeader(http.StatusTooManyRequests)
		case "/away":
			http.Redirect(w, r, "/well", http.StatusTemporaryRedirect)
		case "/well":
			if r.Header.Get("X-Of-Ours") != "yes" {
				w.WriteHeader(http.StatusBadRequest)
			}
		}
	}))
	defer s.Close()
	c := NewClient(Options{
		Timeout: 10 * time.Second, Retries: 2, Pause: time.Millisecond, MaxPause: 2 * time.Millisecond,
		Again: func(status int) bool { return status == http.StatusTooManyRequests },
	})
	defer c.HTTPClient.CloseIdleConnections()
	f := func(to, want string, attempts int64) {
		t.Helper()
		asked.Store(0)
		err := Post(t.Context(), c, to, []byte("body"), http.Header{"X-Of-Ours": {"yes"}})
		if got := message(err); !strings.Contains(got, want) || want == "" && got != "" || strings.Contains(got, "hush") {
			t.Errorf("%s: %q, want %q", to, got, want)
		}
		if n := asked.Load(); n != attempts {
			t.Errorf("%s: %d attempts, want %d", to, n, attempts)
		}
	}
	f(s.URL+"/well?key=hush", "", 1)
	f(s.URL+"/away?key=hush", "status 307", 1)
	f(s.URL+"/busy?key=hush", "status 429", 3)
	f("http://"+testkit.FreeAddr(t)+"/?key=hush", "connection refused", 0)
	f("http://a b/?key=hush", "invalid character", 0)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Post(ctx, c, s.URL+"/busy", nil, http.Header{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a post that is over: %v", err)
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestCause(t *testing.T) {
	inner := errors.New("inner")
	for _, err := range []error{inner, &url.Error{Op: "Get", URL: "http://a/?key=hush", Err: inner}, errors.Join(&url.Error{Err: inner})} {
		if got := Cause(err); got != inner {
			t.Errorf("%v: %v", err, got)
		}
	}
}
