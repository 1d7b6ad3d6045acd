package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/discovery"
	"github.com/holdfast-lb/holdfast/health"
	"github.com/holdfast-lb/holdfast/internal/spelling"
)

const (
	// atOnce bounds how many backends check looks at at a time.
	atOnce = 64
	// lookupTime bounds the look-up of a name.
	lookupTime = 2 * time.Second
	// connectTime bounds the connection to a backend without a health check.
	connectTime = 2 * time.Second
)

// unresolved returns a warning for each backend whose name leads nowhere. It
// takes lookupTime for every 64 names at most.
func unresolved(ctx context.Context, cfg *config.Config, targets []health.Target) []string {
	warnings := make([]string, len(targets))
	each(len(targets), func(i int) {
		t := &targets[i]
		host, _, _ := net.SplitHostPort(t.Address)
		if _, err := netip.ParseAddr(host); err == nil {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, lookupTime)
		defer cancel()
		if _, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host); err != nil {
			warnings[i] = fmt.Sprintf("%s: the name %s does not resolve (%s), mend the name or the resolver; requests would get 502 connect_failed",
				keyOf(cfg, t), host, whyUnresolved(err))
		}
	})
	return slices.DeleteFunc(warnings, func(w string) bool { return w == "" })
}

func whyUnresolved(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		switch {
		case dns.IsNotFound:
			return "no such name"
		case dns.IsTimeout:
			return "no answer within " + lookupTime.String()
		}
		return dns.Err
	}
	return err.Error()
}

// keyOf is the path of the backend's URL in the file.
func keyOf(cfg *config.Config, t *health.Target) string {
	for i, b := range cfg.Pools[t.Pool].Backends {
		if scheme, address := b.Target(); scheme == t.Scheme && address == t.Address {
			return fmt.Sprintf("pools.%s.backends[%d].url", t.Pool, i)
		}
	}
	return "pools." + t.Pool
}

// discovered is cfg with the backends that its pools find. It prints what each
// source says, takes some seconds at most, and returns the pools that have no
// backend at all.
func discovered(w io.Writer, cfg *config.Config) (full *config.Config, empty []string) {
	set := discovery.New(slog.New(slog.DiscardHandler), func() {})
	defer set.Close()
	found := set.Prepare(cfg.Pools)
	defer found.Drop()
	full = cfg.WithBackends(found.Backends())
	sources := found.Status()
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		s := sources[name]
		says := spelling.Count(s.Backends, "backend")
		if s.Trouble != "" {
			says = s.Trouble
		}
		fmt.Fprintf(w, "pool %s, %s: %s\n", name, s.Source, says)
		if len(full.Pools[name].Backends) == 0 {
			empty = append(empty, name)
		}
	}
	return full, empty
}

// probed are the targets with a health check each: a connection, where the
// pool has none of its own.
func probed(targets []health.Target) []health.Target {
	targets = slices.Clone(targets)
	for i := range targets {
		if spec := &targets[i].Spec; spec.Type == "" {
			spec.Type, spec.Timeout = "tcp", connectTime
		}
	}
	return targets
}

// connect asks every backend once and prints what its probe says. It returns
// the pools in which none is up, and takes the longest timeout of the checks
// for every 64 backends at most.
func connect(ctx context.Context, w io.Writer, targets []health.Target) (dead []string) {
	targets = probed(targets)
	verdicts := make([]health.Verdict, len(targets))
	each(len(targets), func(i int) { verdicts[i] = health.Probe(ctx, targets[i]) })
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	alive := make(map[string]bool)
	for i, v := range verdicts {
		t := &targets[i]
		state := "down"
		if v.Up {
			state = "up"
			alive[t.Pool] = true
		}
		fmt.Fprintf(table, "%s\t%s/%s\t%s://%s\t%s\t%s\t%.2f ms\n",
			state, t.Pool, t.Backend, t.Scheme, t.Address, t.Spec.Type, v.Why, float64(v.Latency)/1e6)
		if last := i == len(verdicts)-1 || targets[i+1].Pool != t.Pool; last && !alive[t.Pool] {
			dead = append(dead, t.Pool)
		}
	}
	_ = table.Flush()
	return dead
}

// each calls f with 0 to n-1, at the same time for some, and returns when all
// calls have.
func each(n int, f func(i int)) {
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			f(i)
		})
	}
	all.Wait()
}

// noBackends says which pools could serve nobody.
func noBackends(dead []string) error {
	return fmt.Errorf("no backend is up in %s: clients would get 503 no_backend or 502 (holdfast explain no_backend)", strings.Join(dead, ", "))
}
