package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast/admin"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/explain"
	"github.com/holdfast-lb/holdfast/internal/file"
)

// source is where the configuration comes from, and what was last read there.
type source struct {
	path      string
	overrides map[string]any
	data      []byte            // that runs
	files     [sha256.Size]byte // of what runs; see fingerprint
}

// read returns the configuration as it is now, and its bytes. The first time it
// may come from a pipe; later nobody is there to write into that, and to wait
// would hold up all orders.
func (s *source) read(warn func(config.Warning)) (*config.Config, []byte, error) {
	read := file.Read
	if s.data == nil {
		read = file.ReadAny
	}
	data, err := read(s.path, config.MaxFileBytes)
	if err != nil {
		return nil, nil, fmt.Errorf("read configuration: %s: %w", s.path, err)
	}
	cfg, warnings, err := config.Parse(data, "", s.path, config.Options{Environ: os.Environ(), Overrides: s.overrides})
	for _, w := range warnings {
		warn(w)
	}
	return cfg, data, err
}

// maxNamedFile is above the bounds of all files that a configuration names.
const maxNamedFile = 16 << 20

// fingerprint is a hash over the contents of files, such as users and secrets,
// which change without the configuration's own bytes. One that cannot be read,
// or is longer than any of them may be, counts as such: whoever needs it says
// what is wrong with it.
func fingerprint(files []string) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, name := range files {
		data, err := file.Read(name, maxNamedFile)
		fmt.Fprintf(h, "%q %t %d\n", name, err == nil, len(data))
		_, _ = h.Write(data)
	}
	h.Sum(sum[:0])
	return sum
}

// reload reads the file again and applies it. Equal bytes, there and in the
// files that it names, do nothing; whatever is wrong leaves everything as it
// is, and is logged and counted.
func (a *app) reload() admin.Outcome {
	var outcome admin.Outcome
	s := a.source
	cfg, data, err := s.read(func(w config.Warning) {
		a.log.Warn("configuration", "warning", w.String())
		outcome.Warnings = append(outcome.Warnings, w.String())
	})
	var files [sha256.Size]byte
	if err == nil {
		files = fingerprint(cfg.Files())
	}
	if err == nil && bytes.Equal(data, s.data) && files == s.files {
		a.log.Info("configuration is unchanged")
		a.metrics.Reload(true, time.Now())
		a.taken("unchanged", a.loaded.Load().Loaded, "the configuration is unchanged")
		outcome.Status = "unchanged"
		return outcome
	}
	was := a.full
	if err == nil {
		err = a.apply(cfg)
	}
	if err != nil {
		a.metrics.Reload(false, time.Now())
		outcome.Status, outcome.Errors = "refused", a.refused(err)
		return outcome
	}
	s.data, s.files = data, files
	a.metrics.Reload(true, time.Now())
	outcome.Status, outcome.Changes = "reloaded", config.Diff(was, a.full)
	changes := cmp.Or(outcome.Changes, "none")
	a.log.Info("reloaded", "changes", changes, "configuration", a.summary())
	a.taken("reloaded", time.Now(), "reloaded, changes: "+changes)
	return outcome
}

// taken notes that the newest file is what runs, since at.
func (a *app) taken(state string, at time.Time, message string) {
	a.loaded.Store(&admin.Configuration{File: a.source.path, Loaded: at})
	a.events.Publish(admin.Event{Kind: "reload", Level: admin.Info, State: state, Message: message})
}

// refused notes that the newest file is not what runs, and returns why: every
// mistake.
func (a *app) refused(err error) []string {
	mistakes := mistakesOf(err)
	code := cmp.Or(codeOf(err), explain.Named("reload_failed")).String()
	var list config.Errors
	if errors.As(err, &list) {
		for _, mistake := range mistakes {
			a.log.Error("configuration", "code", code, "error", mistake)
		}
		err = fmt.Errorf("mistakes in the file: %d", len(list))
	}
	a.log.Error("reload failed, the configuration before it stays", "code", code, "error", err)
	now := *a.loaded.Load()
	now.Refused = mistakes
	a.loaded.Store(&now)
	a.events.Publish(admin.Event{Kind: "reload", Level: admin.Error, State: "refused",
		Message: "refused, the configuration before it stays: " + strings.Join(mistakes, "; ")})
	return mistakes
}
