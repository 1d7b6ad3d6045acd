package terminal

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-lb/holdfast/admin"
)

// target is a pool, or one of its backends.
type target struct {
	pool, backend string
	retired       bool // there are none but retired ones
}

func (t target) String() string {
	if t.backend == "" {
		return t.pool
	}
	return t.pool + "/" + t.backend
}

// targets lists what may be written for POOL or POOL/BACKEND.
func targets(pools []admin.Pool) []target {
	var list []target
	for _, p := range pools {
		if len(p.Backends) > 0 {
			list = append(list, target{pool: p.Name, retired: !p.Configured()})
		}
		seen := map[string]bool{}
		for _, b := range p.Backends {
			if !seen[b.Name] {
				list = append(list, target{p.Name, b.Name, b.Retired})
			}
			seen[b.Name] = true
		}
	}
	return list
}

// resolve finds what POOL or POOL/BACKEND means. Names may hold slashes.
func resolve(ctx context.Context, c *client, text string) (target, error) {
	pools, err := c.pools(ctx)
	if err != nil {
		return target{}, err
	}
	for _, t := range targets(pools) {
		if t.String() == text {
			return t, nil
		}
	}
	pool, backend, slash := strings.Cut(text, "/")
	for i := range pools {
		if p := &pools[i]; p.Name != pool {
			continue
		} else if slash && backend == "" {
			return target{}, fmt.Errorf("%q names no backend, write %s for the whole pool, or one of its backends behind the slash: %s",
				text, pool, listed(backendNames(p)))
		} else {
			return target{}, noBackend(p, backend)
		}
	}
	return target{}, noPool(pools, pool)
}

// meant are the backends that an order for t is for.
func (t target) meant(pools []admin.Pool) []admin.Backend {
	for i := range pools {
		if pools[i].Name == t.pool {
			return pools[i].Meant(t.backend)
		}
	}
	return nil
}

// noPool says that no pool has that name, and which there are.
func noPool(pools []admin.Pool, name string) error {
	var names []string
	for _, p := range pools {
		names = append(names, p.Name)
	}
	return fmt.Errorf("there is no pool %q, those that exist: %s", name, listed(names))
}

// noBackend says that a pool has no backend of that name, and which it has.
func noBackend(p *admin.Pool, name string) error {
	if len(p.Backends) == 0 {
		return fmt.Errorf("pool %q has no backend, its discovery has found none", p.Name)
	}
	return fmt.Errorf("pool %q has no backend %q, those that exist: %s", p.Name, name, listed(backendNames(p)))
}

func backendNames(p *admin.Pool) []string {
	var names []string
	for _, b := range p.Backends {
		if !slices.Contains(names, b.Name) {
			names = append(names, b.Name)
		}
	}
	return names
}

// listed is a list of names, of which a long one is cut.
func listed(names []string) string {
	const most = 10
	switch n := len(names) - most; {
	case len(names) == 0:
		return "none"
	case n > 1:
		return fmt.Sprintf("%s and %d more (see `holdfast status`)", strings.Join(names[:most], ", "), n)
	}
	return strings.Join(names, ", ")
}
