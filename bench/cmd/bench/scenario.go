package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast/bench/load"
	"github.com/holdfast-lb/holdfast/bench/peers"
	"github.com/holdfast-lb/holdfast/bench/report"
)

// reloadEvery is how often a balancer reads its configuration again in the
// scenario about that.
const reloadEvery = time.Second

// stickyEntries is how many keys the sweep of that name ends with, and what the
// peers' tables have room for.
const stickyEntries = 1_000_000

// scenario is what is measured and how.
type scenario struct {
	report.Scenario
	plan     load.Plan // with web: only Sockets, Warmup and Duration count
	web      *web      // driven by wrk in place of bench/load
	reload   bool      // the balancer reloads throughout
	backends int       // 0: backendCount
	routes   int       // beside the one for everything
	sticky   bool      // backends are chosen by the keys of web
	only     []string  // peers that can do it; empty: all
}

// web is what wrk does.
type web struct {
	path  string
	close bool // a connection for each request
	body  int  // bytes of a POST; 0: GET
	keys  int  // in the query, at random; 0: none
}

// scenarios returns all scenarios in the order of the report; each is measured
// for d.
func scenarios(d time.Duration, threads int) []scenario {
	base := load.Default()
	base.Duration, base.Threads = d, threads
	base.Warmup = min(time.Second, d/4)
	// make returns one scenario; change says how it differs from a ping-pong.
	make := func(name, about string, metric report.Metric, change func(*scenario)) scenario {
		s := scenario{Scenario: report.Scenario{Name: name, About: about, Metric: metric}, plan: base}
		if change != nil {
			change(&s)
		}
		if s.web != nil {
			s.plan.Warmup = time.Second // wrk knows whole seconds
		}
		return s
	}
	return []scenario{
		make("pingpong", "200 sockets, each with one message of 64 B under way.", report.Rate, nil),
		make("pingpong-1", "One socket, one message of 64 B under way.", report.Rate, func(s *scenario) {
			s.plan.Sockets, s.plan.Threads = 1, 1
		}),
		make("pingpong-2000", "2,000 sockets, each with one message of 64 B under way.", report.Rate, func(s *scenario) { s.plan.Sockets = 2000 }),
		make("pingpong-1k", "200 sockets, messages of 1 KiB.", report.Rate, func(s *scenario) { s.plan.Size = 1 << 10 }),
		make("paced", "5,000 messages of 64 B a second over 500 sockets, latency from when each was due.", report.P99, func(s *scenario) {
			s.plan.Scenario, s.plan.Sockets, s.plan.Rate = load.Paced, 500, 5000
		}),
		make("large-64k", "50 sockets, messages of 64 KiB.", report.Rate, func(s *scenario) { s.plan.Sockets, s.plan.Size = 50, 64<<10 }),
		make("large-1m", "8 sockets, messages of 1 MiB.", report.Rate, func(s *scenario) { s.plan.Sockets, s.plan.Size = 8, 1<<20 }),
		make("push", "One socket sends 64 B, 500 hear it; then it sends again. Messages delivered.", report.Rate, func(s *scenario) {
			s.plan.Scenario, s.plan.Sockets, s.plan.Path, s.plan.Threads = load.Push, 500, "/push", 1
		}),
		make("churn", "64 at a time: connect, handshake, one message of 64 B echoed, Close both ways, end of stream.", report.Rate, func(s *scenario) {
			s.plan.Scenario, s.plan.Sockets = load.Churn, 64
		}),
		make("storm", "3,000 sockets on three backends; those of one end at once and come back at once. Latency is from an end to the next echo.", report.P99, func(s *scenario) {
			s.plan.Scenario, s.plan.Sockets, s.plan.Grace = load.Storm, 3000, 30*time.Second
		}),
		make("reload", "As pingpong, and the balancer reads its configuration again once a second. No socket may end.", report.Rate, func(s *scenario) { s.reload = true }),
		make("drain", "300 sockets on three backends, 3,000 messages of 64 B a second. One backend is to be empty 2 s after the order; sockets that end come back at once.", report.Lost, func(s *scenario) {
			s.plan.Scenario, s.plan.Sockets, s.plan.Rate, s.plan.Path = load.Draining, 300, 3000, "/hello"
			s.plan.Duration, s.plan.Threads = 4*time.Second, 1
		}),
		make("idle", "9,000 sockets, used once, then held: the balancer's own memory (RssAnon + RssShmem) for each.", report.Memory, func(s *scenario) {
			s.plan.Scenario, s.plan.Sockets, s.plan.Grace = load.Idle, 9000, 30*time.Second
			s.plan.Warmup, s.plan.Duration = 0, 3*time.Second // settles; nothing is counted
		}),
		make("pingpong-wss", "As pingpong, over TLS.", report.Rate, func(s *scenario) { s.plan.TLS = load.TLSFull }),
		make("churn-wss", "As churn, over TLS: a whole handshake for each.", report.Rate, func(s *scenario) {
			s.plan.Scenario, s.plan.Sockets, s.plan.TLS = load.Churn, 64, load.TLSFull
		}),
		make("churn-wss-resumed", "As churn, over TLS: each resumes a session by a ticket.", report.Rate, func(s *scenario) {
			s.plan.Scenario, s.plan.Sockets, s.plan.TLS = load.Churn, 64, load.TLSResume
		}),
		make("idle-wss", "As idle, over TLS, with 4,000 sockets.", report.Memory, func(s *scenario) {
			s.plan.Scenario, s.plan.Sockets, s.plan.Grace, s.plan.TLS = load.Idle, 4000, 30*time.Second, load.TLSFull
			s.plan.Warmup, s.plan.Duration = 0, 3*time.Second // settles; nothing is counted
		}),
		make("get", "Small GETs over 100 kept-alive connections, by wrk.", report.Rate, func(s *scenario) {
			s.plan.Sockets, s.web = 100, &web{path: "/"}
		}),
		make("get-close", "Small GETs, a connection for each, 100 at a time, by wrk.", report.Rate, func(s *scenario) {
			s.plan.Sockets, s.web = 100, &web{path: "/", close: true}
		}),
		make("post-64k", "POSTs of 64 KiB over 50 kept-alive connections, by wrk.", report.Rate, func(s *scenario) {
			s.plan.Sockets, s.web = 50, &web{path: "/", body: 64 << 10}
		}),
		make("download", "Downloads of 100 MiB over 4 connections, by wrk.", report.MBs, func(s *scenario) {
			s.plan.Sockets, s.web = 4, &web{path: "/bytes/104857600"}
		}),
	}
}

// sweeps returns what is measured with --sweep: the same work in several sizes.
func sweeps(d time.Duration, threads int) []scenario {
	base := load.Default()
	base.Duration, base.Threads = d, threads
	base.Warmup = min(time.Second, d/4)
	var all []scenario
	sweep := func(name, about string, sizes []int, change func(s *scenario, n int)) {
		for _, n := range sizes {
			s := scenario{Scenario: report.Scenario{
				Name: fmt.Sprintf("%s-%d", name, n), About: about, Metric: report.Rate, Sweep: name, X: float64(n),
			}, plan: base}
			change(&s, n)
			all = append(all, s)
		}
	}
	sweep("sockets", "Ping-pong of 64 B over that many sockets.", []int{10, 100, 1000, 9000}, func(s *scenario, n int) {
		s.plan.Sockets, s.plan.Grace = n, 30*time.Second
	})
	sweep("bytes", "Ping-pong of messages of that many bytes over 50 sockets.", []int{16, 256, 4 << 10, 64 << 10, 1 << 20}, func(s *scenario, n int) {
		s.plan.Sockets, s.plan.Size = 50, n
	})
	sweep("backends", "Churn, as in the scenario of that name, over that many backends.", []int{2, 20, maxBackends}, func(s *scenario, n int) {
		s.plan.Scenario, s.plan.Sockets, s.backends = load.Churn, 64, n
	})
	sweep("routes", "Small GETs of the last of that many routes, by wrk.", []int{1, 100, 10000}, func(s *scenario, n int) {
		s.plan.Sockets, s.routes, s.web = 100, n, &web{path: fmt.Sprintf("/r/%d/", n)}
		s.only = []string{peers.Holdfast, "haproxy", "nginx", peers.None}
	})
	sweep("sticky", "Small GETs that name one of that many keys, at random, by wrk; with stickiness by query, all of them filled in before. 0: a million keys without stickiness.",
		[]int{0, 1000, 100_000, stickyEntries}, func(s *scenario, n int) {
			s.plan.Sockets, s.sticky, s.web = 100, n > 0, &web{path: "/", keys: n}
			if n == 0 {
				s.web.keys = stickyEntries
			}
			s.only = []string{peers.Holdfast, "haproxy", "haproxy-default", peers.None}
		})
	return all
}

// choose returns the named ones of all, in the order of all; all for no names.
// The name of a sweep means all its sizes.
func choose(all []scenario, names []string) ([]scenario, error) {
	if len(names) == 0 {
		return all, nil
	}
	var chosen []scenario
	var known []string
	for _, s := range all {
		known = append(known, s.Name)
		if s.Sweep != "" && !slices.Contains(known, s.Sweep) {
			known = append(known, s.Sweep)
		}
		if slices.Contains(names, s.Name) || s.Sweep != "" && slices.Contains(names, s.Sweep) {
			chosen = append(chosen, s)
		}
	}
	for _, n := range names {
		if !slices.Contains(known, n) {
			return nil, fmt.Errorf("choose scenario %q: it is none of %s", n, strings.Join(known, ", "))
		}
	}
	return chosen, nil
}
