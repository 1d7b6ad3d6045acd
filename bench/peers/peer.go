package peers

import (
	"embed"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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
}

// MaxConn is how many proxied connections fit into the descriptors, with some
// left for listeners, pollers and health checks.
func (s Setup) MaxConn() int { return (s.Files - 100) / 2 }

// peer is how one balancer is configured and started.
type peer struct {
	program string // looked up in PATH
	install string // remedy when it is missing
	config  string // configuration's file name; its template is this and .tmpl
	tuned   bool   // .Tuned in the template
	args    func(config, dir string) []string
	env     func(Setup) []string
}

var known = map[string]peer{
	"haproxy": {
		program: "haproxy", install: "apt install haproxy", config: "haproxy.cfg", tuned: true,
		args: haproxyArgs,
	},
	// As most people run it: without the settings that were found by profiling.
	"haproxy-default": {
		program: "haproxy", install: "apt install haproxy", config: "haproxy.cfg",
		args: haproxyArgs,
	},
	"nginx": {
		program: "nginx", install: "apt install nginx", config: "nginx.conf",
		args: func(config, dir string) []string { return []string{"-p", dir, "-e", "stderr", "-c", config} },
	},
	Holdfast: {
		program: "holdfast", install: "go build -o holdfast ./cmd/holdfast", config: "holdfast.yaml",
		args: func(config, _ string) []string { return []string{"serve", "--config", config} },
		env:  func(s Setup) []string { return []string{"GOMAXPROCS=" + strconv.Itoa(s.Threads)} },
	},
}

func haproxyArgs(config, _ string) []string { return []string{"-db", "-f", config} }

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
