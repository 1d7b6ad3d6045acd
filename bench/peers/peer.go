package peers

import (
	"context"
	"embed"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/template"
)

// Names with a meaning of their own.
const (
	None     = "none"     // no balancer: the load goes to the backends
	Holdfast = "holdfast" // its program is given, not looked up
)

//go:embed *.tmpl
var templates embed.FS

// Setup is what fills in a configuration.
type Setup struct {
	Dir      string   // for the configuration, logs and temporary files; exists
	Listen   string   // host:port for the balancer to listen on
	Backends []string // host:port each
	Threads  int      // threads or workers
	Files    int      // descriptors that a process may have
	Routes   int      // routes beside the one for everything, /r/1/ and so on
	Sticky   int      // sticky keys to have room for, by the query's "room"; 0: no stickiness
	Reloads  bool     // Process.Reload is going to be called
	Drains   bool     // Process.Empty is going to be called
	Admin    string   // host:port for Holdfast's API; "": none
	TLS      bool     // the balancer ends TLS; see certificate.go

	generation int // of the configuration, counted by reloads
}

// Generation is how often the configuration was written; it makes the bytes of
// a reloaded one differ.
func (s Setup) Generation() int { return s.generation }

// Root tells whether the balancer starts as root, and workers as who they are
// told to be.
func (s Setup) Root() bool { return os.Getuid() == 0 }

// RouteNumbers are 1 to Routes.
func (s Setup) RouteNumbers() []int {
	n := make([]int, s.Routes)
	for i := range n {
		n[i] = i + 1
	}
	return n
}

// writeRoutes writes the routes as a map of HAProxy's, which it looks up in a
// tree; conditions, one for each route, would be tried one after the other.
func writeRoutes(s Setup) error {
	if s.Routes == 0 {
		return nil
	}
	var b []byte
	for _, n := range s.RouteNumbers() {
		b = fmt.Appendf(b, "/r/%d/ arena\n", n)
	}
	return os.WriteFile(filepath.Join(s.Dir, "routes.map"), b, 0o600)
}

// ModuleDir is where Debian and others keep Apache's modules.
func (s Setup) ModuleDir() string {
	for _, dir := range []string{"/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules"} {
		if _, err := os.Stat(dir); err == nil {
			return dir
		}
	}
	return "modules"
}

// Modules are what Apache needs for this work.
func (s Setup) Modules() []string {
	m := []string{"mpm_event", "authz_core", "slotmem_shm", "proxy", "proxy_http", "proxy_hcheck",
		"proxy_balancer", "lbmethod_bybusyness"}
	if s.TLS {
		m = append(m, "ssl")
	}
	return m
}

// MaxConn is how many proxied connections fit into the descriptors, with some
// left for listeners, pollers and a health check of each backend.
func (s Setup) MaxConn() int { return (s.Files - 100 - len(s.Backends)) / 2 }

// peer is how one balancer is configured and started.
type peer struct {
	program string // looked up in PATH
	install string // remedy when it is missing
	config  string // configuration's file name; its template is this and .tmpl
	tuned   bool   // .Tuned in the template
	args    func(config string, s Setup) []string
	env     func(Setup) []string
	signal  syscall.Signal                        // has the configuration read again
	reload  func(program, config string) []string // a command that does, in place of signal
	empty   func(context.Context, *Process) error // has the first backend emptied; nil: a reload without it
	means   string                                // what that does, for the report
	keeps   bool                                  // it ends no open socket
	version string                                // argument that prints it; -v by default
}

var known = map[string]peer{
	"haproxy": {
		program: "haproxy", install: "apt install haproxy", config: "haproxy.cfg", tuned: true,
		args: haproxyArgs, signal: syscall.SIGUSR2,
		means: "`set server state drain`; after 2 s `shutdown sessions server`", empty: emptyHAProxy,
	},
	// As most people run it: without the settings that were found by profiling.
	"haproxy-default": {
		program: "haproxy", install: "apt install haproxy", config: "haproxy.cfg",
		args: haproxyArgs, signal: syscall.SIGUSR2,
		means: "`set server state drain`; after 2 s `shutdown sessions server`", empty: emptyHAProxy,
	},
	"nginx": {
		program: "nginx", install: "apt install nginx", config: "nginx.conf",
		args:   func(config string, s Setup) []string { return []string{"-p", s.Dir, "-e", "stderr", "-c", config} },
		signal: syscall.SIGHUP,
		means:  "a reload without the backend, with `worker_shutdown_timeout 2s`",
	},
	"apache": {
		program: "apache2", install: "apt install apache2", config: "apache.conf",
		args:   func(config string, s Setup) []string { return []string{"-d", s.Dir, "-f", config, "-DFOREGROUND"} },
		signal: syscall.SIGUSR1,
		means:  "a graceful reload without the backend; nothing ends a socket that is open", keeps: true,
	},
	"caddy": {
		program: "caddy", install: "go install github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9", config: "Caddyfile",
		args: func(config string, _ Setup) []string {
			return []string{"run", "--adapter", "caddyfile", "--config", config}
		},
		env: func(s Setup) []string {
			return []string{"GOMAXPROCS=" + strconv.Itoa(s.Threads), "HOME=" + s.Dir, "XDG_DATA_HOME=" + s.Dir, "XDG_CONFIG_HOME=" + s.Dir}
		},
		reload: func(program, config string) []string {
			return []string{program, "reload", "--adapter", "caddyfile", "--config", config,
				"--address", "unix/" + filepath.Join(filepath.Dir(config), "admin.sock")}
		},
		means:   "a reload without the backend, with `stream_close_delay 2s`",
		version: "version",
	},
	Holdfast: {
		program: "holdfast", install: "go build -o holdfast ./cmd/holdfast", config: "holdfast.yaml",
		args:   func(config string, _ Setup) []string { return []string{"serve", "--config", config} },
		env:    func(s Setup) []string { return []string{"GOMAXPROCS=" + strconv.Itoa(s.Threads)} },
		signal: syscall.SIGHUP,
		means:  "`POST …/drain` with a deadline of 2 s", empty: emptyHoldfast,
		version: "version",
	},
}

// haproxyArgs: one process, or a master with workers where it is to reload.
func haproxyArgs(config string, s Setup) []string {
	if s.Reloads {
		return []string{"-W", "-db", "-f", config}
	}
	return []string{"-db", "-f", config}
}

// VersionArg is the argument with which a balancer's program tells its version.
func VersionArg(name string) string {
	if v := known[name].version; v != "" {
		return v
	}
	return "-v"
}

// Known lists the balancers that Start can run, sorted.
func Known() []string { return slices.Sorted(maps.Keys(known)) }

// Find returns the path of a balancer's program, or an error that says how to
// get it.
func Find(name string) (string, error) {
	p, ok := known[name]
	if !ok {
		return "", fmt.Errorf("find peer %q: it is none of %s", name, strings.Join(Known(), ", "))
	}
	path, err := exec.LookPath(p.program)
	if err != nil {
		return "", fmt.Errorf("find peer %q: no program %s in PATH (%s)", name, p.program, p.install)
	}
	return path, nil
}

// Configure writes the balancer's configuration into s.Dir and returns its
// path.
func Configure(name string, s Setup) (string, error) {
	p, ok := known[name]
	if !ok {
		return "", fmt.Errorf("configure peer %q: it is none of %s", name, strings.Join(Known(), ", "))
	}
	t, err := template.ParseFS(templates, p.config+".tmpl")
	if err != nil {
		return "", fmt.Errorf("configure %s: %w", name, err)
	}
	if s.TLS {
		if err := writeCertificate(s.Dir); err != nil {
			return "", fmt.Errorf("configure %s: %w", name, err)
		}
	}
	if err := writeRoutes(s); err != nil {
		return "", fmt.Errorf("configure %s: %w", name, err)
	}
	path := filepath.Join(s.Dir, p.config)
	f, err := os.Create(path)
	if err != nil {
		return "", fmt.Errorf("configure %s: %w", name, err)
	}
	values := struct {
		Setup
		Tuned bool
	}{s, p.tuned}
	if err = t.Execute(f, values); err == nil {
		err = f.Close()
	} else {
		_ = f.Close()
	}
	if err != nil {
		return "", fmt.Errorf("configure %s: write %s: %w", name, path, err)
	}
	return path, nil
}
