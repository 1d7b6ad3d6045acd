package config

import (
	"reflect"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/env/v2"

	"github.com/holdfast-lb/holdfast/internal/spelling"
)

const (
	envPrefix = "HOLDFAST_"
	// envReserved names the file for the command line and is no key.
	envReserved = "HOLDFAST_CONFIG"
)

// environment is the koanf layer of HOLDFAST_* variables. Each key outside
// lists and maps has one: log.access_format is HOLDFAST_LOG_ACCESS_FORMAT.
// Names are looked up and not taken apart, since an underscore may stand for a
// dot or for itself.
//
// An unknown name is a warning and no error: an orchestrator puts names such
// as HOLDFAST_SERVICE_HOST into the environment of everything near a service
// called holdfast.
func environment(environ []string, p *problems) *env.Env {
	paths := map[string]string{}
	for _, path := range scalarPaths(reflect.TypeFor[Config](), "") {
		paths[envName(path)] = path
	}
	return env.Provider(".", env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			path, known := paths[name]
			switch {
			case known:
				p.sources[path] = name
			case name != envReserved:
				names := make([]string, 0, len(paths))
				for known := range paths {
					names = append(names, known)
				}
				slices.Sort(names)
				hint := "unset it if it was meant for Holdfast"
				if near, ok := spelling.Nearest(name, names); ok {
					hint = "did you mean " + near + "?"
				}
				p.warnings = append(p.warnings, Warning{File: name, Msg: "belongs to no key and is ignored, " + hint})
			}
			return path, value
		},
	})
}

// envName is the environment variable of a key path.
func envName(path string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}
