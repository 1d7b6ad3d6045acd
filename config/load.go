package config

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"

	"github.com/holdfast-lb/holdfast/internal/file"
)

// MaxFileBytes bounds a configuration file.
const MaxFileBytes = 4 << 20

// Options are the layers above the file.
type Options struct {
	// Environ holds NAME=VALUE strings as os.Environ gives them. Nil: none.
	Environ []string
	// Overrides are flags: key path (log.level) to value. They win over all
	// else.
	Overrides map[string]any
}

// Load reads the file at path, whose ending names its format (.yaml, .yml,
// .toml or .json), lays the environment and the overrides over it, and
// validates the whole. Relative paths in it are relative to the file. A pipe is
// waited for.
//
// The error is an [Errors] that lists every mistake, or the system's if the file
// cannot be read. Warnings may come with or without an error. Load may be called from several goroutines.
func Load(path string, opts Options) (*Config, []Warning, error) {
	data, err := file.ReadAny(path, MaxFileBytes)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return Parse(data, "", path, opts)
}

// Parse is [Load] for a file that is already in memory and is called name.
// The format is "yaml", "toml" or "json"; when empty, the ending of name says
// which.
func Parse(data []byte, format, name string, opts Options) (*Config, []Warning, error) {
	p := &problems{file: name, sources: map[string]string{}, given: map[string]bool{}}
	c := &Config{}
	if raw, ok := layers(data, format, opts, p); ok {
		decode(p, raw, c)
		c.complete(filepath.Dir(name), p.given)
		validate(p, c)
	}
	warnings, err := p.result()
	if err != nil {
		return nil, warnings, err
	}
	return c, warnings, nil
}

// layers merges file, environment and overrides into one tree of maps, lists
// and scalars. It is false when there is no tree, because the file is not
// valid in its own format.
//
// koanf adds to what an instance already holds, and does not allow that beside
// readers, so every load has an instance of its own.
func layers(data []byte, format string, opts Options, p *problems) (map[string]any, bool) {
	parser, err := parserFor(format, p)
	if err != nil {
		p.add("", "%v", err)
		return nil, false
	}
	k := koanf.New(".")
	if err := k.Load(rawbytes.Provider(data), parser); err != nil {
		p.add("", "%v", err)
		return nil, false
	}
	err = k.Load(environment(opts.Environ, p), nil)
	for path := range opts.Overrides {
		p.sources[path] = "flags" // after the environment, which it wins over
	}
	err = errors.Join(err, k.Load(confmap.Provider(opts.Overrides, "."), nil))
	if err != nil {
		p.add("", "cannot be combined with environment and flags: %v", err)
		return nil, false
	}
	return k.Raw(), true
}
