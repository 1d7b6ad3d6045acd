package peers

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConfigure(t *testing.T) {
	var with Setup // beside what every one has
	f := func(name string, want ...string) {
		t.Helper()
		s := Setup{TLS: with.TLS, Drains: with.Drains, Admin: with.Admin, Sticky: with.Sticky, Routes: with.Routes,
			Dir: t.TempDir(), Listen: "127.0.0.1:8000", Backends: []string{"127.0.0.1:1", "127.0.0.1:2"}, Threads: 2, Files: 20000}
		path, err := Configure(name, s)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(string(data), w) {
				t.Errorf("%s: no %q in:\n%s", name, w, data)
			}
		}
	}
	f("haproxy", "nbthread 2\n", "maxconn 9949\n", "bind 127.0.0.1:8000 ", "server arena-1 127.0.0.1:2\n")
	f("haproxy", "tune.maxpollevents 24\n")
	f("nginx", "worker_processes 2;", "worker_connections 20000;", "listen 127.0.0.1:8000 ", "server 127.0.0.1:2;")
	f(Holdfast, "address: 127.0.0.1:8000\n", `{name: arena-1, url: "http://127.0.0.1:2"}`)
	with = Setup{TLS: true}
	f("haproxy", "ssl crt ", "/both.pem\n", "ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256")
	f("nginx", "reuseport ssl;", "/cert.pem;", "/key.pem;", "Ciphersuites TLS_AES_128_GCM_SHA256;")
	f("apache", "SSLEngine on", "/cert.pem\n", "LoadModule ssl_module")
	f("caddy", "https://127.0.0.1:8000 {\n\ttls ")
	f(Holdfast, "tls: {certificates: [{cert: ")
	with = Setup{Routes: 2}
	f("haproxy", "use_backend %[path,map_beg(", "/routes.map,arena)]\n")
	f("nginx", "location /r/2/ ")
	f(Holdfast, "{name: r2, path: /r/2/, pool: arena}\n")
	with = Setup{Sticky: 1000}
	f("haproxy", "stick-table type string len 16 size 1000 ", "stick on url_param(room)\n")
	f(Holdfast, "sticky: {by: query, name: room, ttl: 30m, max_entries: 1000}\n")
	with = Setup{Drains: true, Admin: "127.0.0.1:9000"}
	f("haproxy", "/haproxy.sock mode 600 level admin\n")
	f("nginx", "worker_shutdown_timeout 2s;")
	f("caddy", "stream_close_delay 2s\n")
	f(Holdfast, `admin: {address: "127.0.0.1:9000"}`, "drain: {deadline: 2s}\n")
	if _, err := Configure("squid", Setup{}); err == nil || !strings.Contains(err.Error(), "haproxy, haproxy-default, holdfast, nginx") {
		t.Errorf("want an error that lists the peers, got %v", err)
	}
}

func TestFind(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	f := func(name, want string) {
		t.Helper()
		if _, err := Find(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
	f("haproxy", "apt install haproxy")
	f("squid", "none of")
}

func TestFreeAddress(t *testing.T) {
	address, err := FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("listen on the free address: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// A balancer that ends instead of starting fails at once, with its last words.
func TestStartFails(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "broken")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho no such route >&2\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	address, err := FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	_, err = Start(context.Background(), Holdfast, program, Setup{Dir: dir, Listen: address, Threads: 2})
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "no such route") {
		t.Errorf("want its exit status and last words, got %v", err)
	}
}
