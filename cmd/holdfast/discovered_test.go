package main

import (
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// A process that another one follows keeps the backends that it has found, once
// it looks for them no more.
func TestLeavingKeepsWhatWasFound(t *testing.T) {
	list := testkit.WriteFile(t, t.TempDir(), "list.yaml", []byte("[{name: b, url: \"http://127.0.0.1:9\"}]\n"))
	text := fmt.Sprintf("listeners: [{name: web, address: \"127.0.0.1:0\"}]\nroutes: [{name: all, path: /, pool: web}]\n"+
		"log: {access: \"off\"}\npools: {web: {discovery: {file: {path: %q}}}}\n", list)
	cfg, _, err := config.Parse([]byte(text), "yaml", "test", config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := newApp(&journal{Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), w: io.Discard, path: cfg.Log.File}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer a.stop(5 * time.Second)
	if err := a.apply(cfg); err != nil {
		t.Fatal(err)
	}
	found := len(a.full.Pools["web"].Backends)
	a.leaving = true
	a.discovery.Close()
	a.takeFound()
	if now := len(a.full.Pools["web"].Backends); found != 1 || now != found {
		t.Errorf("%d backends, %d were found; want 1", now, found)
	}
}
