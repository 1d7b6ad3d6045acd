package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/holdfast-lb/holdfast/config"
)

// source is where the configuration comes from, and what was last read there.
type source struct {
	path      string
	overrides map[string]any
	data      []byte // that runs
}

// read returns the configuration as it is now, and its bytes.
func (s *source) read(warn func(config.Warning)) (*config.Config, []byte, error) {
	data, err := os.ReadFile(s.path)
	if err != nil {
		return nil, nil, fmt.Errorf("read configuration: %w", err)
	}
	cfg, warnings, err := config.Parse(data, "", s.path, config.Options{Environ: os.Environ(), Overrides: s.overrides})
	for _, w := range warnings {
		warn(w)
	}
	return cfg, data, err
}

// reload reads the file again and applies it. Equal bytes do nothing; whatever
// is wrong leaves everything as it is, and is logged and counted.
func (a *app) reload(s *source) {
	cfg, data, err := s.read(func(w config.Warning) { a.log.Warn("configuration", "warning", w.String()) })
	if err == nil && bytes.Equal(data, s.data) {
		a.log.Info("configuration is unchanged")
		a.metrics.Reload(true, time.Now())
		return
	}
	was := a.cfg
	if err == nil {
		err = a.apply(cfg)
	}
	if err != nil {
		a.metrics.Reload(false, time.Now())
		var list config.Errors
		if errors.As(err, &list) {
			for _, e := range list {
				a.log.Error("configuration", "error", e.Error())
			}
			err = fmt.Errorf("mistakes in the file: %d", len(list))
		}
		a.log.Error("reload failed, the configuration before it stays", "error", err)
		return
	}
	s.data = data
	a.metrics.Reload(true, time.Now())
	a.log.Info("reloaded", "changes", cmp.Or(config.Diff(was, cfg), "none"), "configuration", cfg.Summary())
}
