// Package balancer decides which backend serves a request, and knows how much
// each of them is doing.
//
// Two lifetimes meet here, and each has its type.
//
//   - [Pools], [Pool] and [Backend] are compiled from one configuration and
//     never change: names, weights, limits, the algorithm.
//   - [State] is what a backend is doing right now: its health, its
//     administrative mode, how many leases it holds. It belongs to the
//     [Registry] under a [Key] (pool, scheme, address) and outlives every
//     reload that still names that key.
//
// So a new weight, a new limit or a new algorithm meets the true counts, and
// the same address in two pools is two backends that share nothing.
//
// # A reload
//
// [Registry.Compile] prepares: it finds or makes the States, fails on any
// mistake, and leaves no trace in the Registry. [Registry.Commit] publishes
// and cannot fail. Older Pools keep working: whoever still holds them picks as
// before, into the same counts. A backend that the new configuration no longer
// names is retired. The Registry remembers it by a weak pointer, so its State
// lives exactly as long as a lease or an older Pools refers to it, and adding
// it again in that time finds the true counts. Nothing has to be released.
//
// # Another process
//
// A process that is to take this one's place goes on where its Registry is:
// [Registry.Carry] gives plain data, [Registry.Inherit] takes it before the first
// configuration is compiled, which is then like a reload: carry.go. Tables of
// sticky keys follow in chunks, before that or after, by [Registry.CarryTables]
// and [Registry.InheritTable]: sticky_carry.go. Leases on sockets that change hands
// are taken by [Registry.Adopt]. Meters of rates, counts of live traffic and turns
// of an algorithm begin anew.
//
// # A pick
//
// [Pool.Pick] gives a [Lease], which is one use of one backend, and which is
// returned once with [Lease.Done]. A pick allocates nothing, takes no lock and
// never waits; it reads one word per backend that it looks at, and decides and
// counts by a compare-and-swap of the chosen one's word. Whether a backend may
// have one more is in that word (see [State]), so a lease is never granted on a
// view that has become false: max_connections is not passed, and once
// [Registry.SetMode] has returned nobody gets a backend in drain.
//
// Each algorithm is one file: least_conn.go, p2c.go, round_robin.go,
// random.go, hash.go, first.go. Stickiness comes before the algorithm:
// sticky.go, with a table of keys (sticky_table.go) or a signed cookie
// (sticky_cookie.go). Who is new gets less at first: slow_start.go. What a pool
// lets begin in a second is rate.go's; with such a limit a pick reads the clock
// and writes the meters of the pool and of the backend too.
//
// # What backends say
//
// In a pool that listens, a backend's own account of how full it is, one word
// beside the State's, takes from its weight, bounds its leases, or takes it out:
// report.go.
//
// # Live traffic
//
// What a use showed of its backend is told to [Backend.Report], and a backend on
// which too much fails is ejected for a time: ejection.go, with the counts of
// window.go.
//
// The package starts no goroutine and has one mutex, in the Registry, which no
// pick touches.
package balancer
