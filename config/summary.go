package config

import (
	"strings"

	"github.com/holdfast-lb/holdfast/internal/spelling"
)

// Summary counts what the configuration holds, such as
// "1 listener, 2 routes, 1 pool, 3 backends".
func (c *Config) Summary() string {
	backends := 0
	for _, pool := range c.Pools {
		backends += len(pool.Backends)
	}
	return strings.Join([]string{
		spelling.Count(len(c.Listeners), "listener"), spelling.Count(len(c.Routes), "route"),
		spelling.Count(len(c.Pools), "pool"), spelling.Count(backends, "backend"),
	}, ", ")
}
