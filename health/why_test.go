package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestWhy(t *testing.T) {
	f := func(err error, want string) {
		t.Helper()
		if got := why(err, time.Second); got != want {
			t.Fatalf("%v: %q, want %q", err, got, want)
		}
	}
	addr := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 11), Port: 9000}
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Addr: addr, Err: err} }
	call := func(errno syscall.Errno) error { return dial(os.NewSyscallError("connect", errno)) }
	get := func(err error) error { return &url.Error{Op: "Get", URL: "http://10.0.0.11:9000/", Err: err} }

	f(call(syscall.ECONNREFUSED), "connection refused")
	f(get(call(syscall.ECONNREFUSED)), "connection refused")
	f(fmt.Errorf("giving up after 3 attempt(s): %w", get(call(syscall.ECONNRESET))), "connection reset")
	f(call(syscall.EHOSTUNREACH), "no route to host")
	f(call(syscall.ENETUNREACH), "network unreachable")
	f(call(syscall.EMFILE), "holdfast is out of descriptors")
	f(get(io.EOF), "connection closed without an answer")
	f(io.ErrUnexpectedEOF, "connection closed within the answer")
	f(dial(&net.DNSError{Err: "no such host", Name: "a.example", IsNotFound: true}), "name not found")
	f(dial(&net.DNSError{Err: "server misbehaving", Name: "a.example"}), "name lookup failed")
	f(dial(&net.DNSError{Err: "i/o timeout", Name: "a.example", IsTimeout: true}), "timeout after 1s")
	f(context.DeadlineExceeded, "timeout after 1s")
	f(get(dial(os.ErrDeadlineExceeded)), "timeout after 1s")
	f(finding("status 503, expected 200-399"), "status 503, expected 200-399")
	f(overdue("pong missing"), "pong missing within 1s")
	f(get(errors.New("malformed HTTP response")), "malformed HTTP response")
	f(errors.New("it says \x1b[2J\nup"), "it says ?[2J up")
	f(errors.New(strings.Repeat("x", 1000)), strings.Repeat("x", maxWhy)+"...")
}
