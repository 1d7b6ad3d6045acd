package balancer

// Backend is a member of one [Pool] of one generation: what the configuration
// says of it, and the [State] that all generations share. It is immutable.
type Backend struct {
	name   string
	key    Key
	weight int
	limit  int // max_connections as configured, 0: none
	state  *State
	pool   *Pool // of its generation

	// How stickiness refers to it.
	mark     uint32 // in the table; 0: there is none
	cookieID uint64 // in cookies and tokens; 0: there are none
	cookie   string // the whole value of a cookie or token
}

// Name is the backend's name in the configuration. It is for people and logs
// and is not its identity.
func (b *Backend) Name() string { return b.name }

// Key is the backend's identity.
func (b *Backend) Key() Key { return b.key }

// Scheme is http or https.
func (b *Backend) Scheme() string { return b.key.Scheme }

// Address is host:port.
func (b *Backend) Address() string { return b.key.Address }

// Weight is the backend's share relative to the others', at least 1.
func (b *Backend) Weight() int { return b.weight }

// MaxConnections is the most leases that it may hold at once; 0: no limit of
// its own.
func (b *Backend) MaxConnections() int { return b.limit }

// StickyID is what [Sticky.Decode] finds in a cookie or token that refers
// to this backend; 0 if its pool is sticky by neither. A lease on a backend with
// another id than the request's calls for a new one.
func (b *Backend) StickyID() uint64 { return b.cookieID }

// State is what the backend is doing now. After [Registry.Commit] it never
// changes, and it is the same for every generation that names the Key.
func (b *Backend) State() *State { return b.state }
