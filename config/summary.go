package config

import "fmt"

// Summary counts what the configuration holds:
// "N listeners, N routes, N pools, N backends".
func (c *Config) Summary() string {
	backends := 0
	for _, pool := range c.Pools {
		backends += len(pool.Backends)
	}
	return fmt.Sprintf("%d listeners, %d routes, %d pools, %d backends",
		len(c.Listeners), len(c.Routes), len(c.Pools), backends)
}
