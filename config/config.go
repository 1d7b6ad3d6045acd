// Package config is the configuration file as Go values: plain structs,
// defaults, loading, and validation that names every mistake by its key path.
//
// A configuration is read in layers: defaults, then the file (YAML, TOML or
// JSON by its ending), then HOLDFAST_* environment variables, then flags. The
// result is a [Config] that nothing changes afterwards; what runs is compiled
// from it elsewhere.
//
// The package knows no package of this module that does anything, starts no
// goroutine and opens nothing but the file that it is told to load.
package config

import "time"

// Config is one whole configuration. After [Load] it is valid and read-only.
type Config struct {
	Admin     Admin           `koanf:"admin"`
	Log       Log             `koanf:"log"`
	Listeners []Listener      `koanf:"listeners"`
	Routes    []Route         `koanf:"routes"`
	Pools     map[string]Pool `koanf:"pools"`
	Webhooks  []Webhook       `koanf:"webhooks"`
	Tracing   Tracing         `koanf:"tracing"`
	Shutdown  Shutdown        `koanf:"shutdown"`
}

// Admin is the operator's own listener.
type Admin struct {
	// Address is host:port. Empty: no admin listener.
	Address string `koanf:"address"`
	// Token is what callers must show. Empty: they need none, and Address is
	// loopback.
	Token Secret `koanf:"token"`
}

// Log says what is written where.
type Log struct {
	Level        string `koanf:"level"`         // debug | info | warn | error
	Format       string `koanf:"format"`        // json | text
	File         string `koanf:"file"`          // stderr | stdout | a path
	Access       string `koanf:"access"`        // off | stdout | stderr | a path
	AccessFormat string `koanf:"access_format"` // json | combined
}

// Listener is one bound socket and the rules for those who connect to it.
type Listener struct {
	Name    string `koanf:"name"`
	Address string `koanf:"address"` // host:port, [::]:port or unix:/path
	// DeferAccept is how long the kernel keeps a connection that has not sent
	// anything to itself; 0: none is kept.
	DeferAccept    time.Duration `koanf:"defer_accept"`
	RedirectHTTPS  int           `koanf:"redirect_https"` // port; 0: no redirect
	TrustedProxies []string      `koanf:"trusted_proxies"`
	// ProxyProtocol lists the sources that must open with a PROXY header, as
	// [ParsePrefix] reads them, or [UnixClients].
	ProxyProtocol []string         `koanf:"proxy_protocol"`
	TLS           *TLS             `koanf:"tls"` // nil: plain HTTP
	Limits        Limits           `koanf:"limits"`
	AccessLog     *AccessLog       `koanf:"access_log"` // nil: log.access
	Timeouts      ListenerTimeouts `koanf:"timeouts"`
}

// Limits bound what strangers can take from one listener. 0 is no limit,
// but for MaxHeaderBytes.
type Limits struct {
	MaxConnections           int   `koanf:"max_connections"`
	MaxConnectionsPerIP      int   `koanf:"max_connections_per_ip"`
	HandshakesPerSecondPerIP int   `koanf:"handshakes_per_second_per_ip"`
	MaxHeaderBytes           Bytes `koanf:"max_header_bytes"`
	MaxBodyBytes             Bytes `koanf:"max_body_bytes"`
	// MaxRequestsPerConnection ends keep-alive behind that many requests; 1 is
	// no keep-alive.
	MaxRequestsPerConnection int `koanf:"max_requests_per_connection"`
}

// ListenerTimeouts bound how long a client may take.
type ListenerTimeouts struct {
	Header time.Duration `koanf:"header"` // whole request header: 408
	Body   time.Duration `koanf:"body"`   // silence within a request body: 408
	Idle   time.Duration `koanf:"idle"`   // between requests on a kept-alive connection
}

// Route sends the requests of some hosts below some path to a pool, or answers
// them itself: exactly one of Pool, Redirect and Respond is set.
type Route struct {
	Name         string   `koanf:"name"`
	Hosts        []string `koanf:"hosts"` // exact, or *.suffix; empty: any
	Path         string   `koanf:"path"`  // prefix, "/" by default
	Pool         string   `koanf:"pool"`
	PreserveHost bool     `koanf:"preserve_host"`
	StripPrefix  string   `koanf:"strip_prefix"`
	Access       Access   `koanf:"access"`
	Origins      []string `koanf:"origins"` // of WebSocket handshakes; empty: any
	Auth         *Auth    `koanf:"auth"`    // nil: nobody is asked who they are

	Redirect         *Redirect `koanf:"redirect"`
	Respond          *Respond  `koanf:"respond"`
	Rewrite          *Rewrite  `koanf:"rewrite"` // nil: the path stays
	RewriteRedirects bool      `koanf:"rewrite_redirects"`
	Headers          Headers   `koanf:"headers"`
	Forwarded        bool      `koanf:"forwarded"` // RFC 7239, beside X-Forwarded-*

	AccessLog *AccessLog `koanf:"access_log"` // nil: the listener's

	Timeouts  RouteTimeouts `koanf:"timeouts"`
	Retries   int           `koanf:"retries"`
	WebSocket WebSocket     `koanf:"websocket"`
}

// RouteTimeouts bound how long a backend may take.
type RouteTimeouts struct {
	Connect  time.Duration `koanf:"connect"`
	Response time.Duration `koanf:"response"` // request's end to answer's header: 504
	Body     time.Duration `koanf:"body"`     // silence within an answer's body
	Idle     time.Duration `koanf:"idle"`     // silence both ways on an upgraded socket; 0: for ever
}

// WebSocket is what a route does with the frames of its sockets. Bounds are on
// what clients send, as it is on the wire; 0: none.
type WebSocket struct {
	PingInterval time.Duration `koanf:"ping_interval"` // silence before a Ping; 0: no Pings
	PingBackend  bool          `koanf:"ping_backend"`  // the backend too

	MaxMessageBytes   Bytes  `koanf:"max_message_bytes"` // over its fragments: 1009
	MaxFrameBytes     Bytes  `koanf:"max_frame_bytes"`   // 1009
	MessagesPerSecond int    `koanf:"messages_per_second"`
	MessagesBurst     int    `koanf:"messages_burst"` // 0: a second's worth
	BytesPerSecond    Bytes  `koanf:"bytes_per_second"`
	BytesBurst        Bytes  `koanf:"bytes_burst"` // 0: a second's worth
	OverLimit         string `koanf:"over_limit"`  // close (1008) | throttle
	Strict            bool   `koanf:"strict"`      // frames must be well formed: 1002
	CheckUTF8         bool   `koanf:"check_utf8"`  // uncompressed text must be UTF-8: 1007
}

// Guarded tells whether frames are judged. Whatever is asked of them, they
// must then be well formed too: what is not cannot be measured.
func (w *WebSocket) Guarded() bool {
	return w.Strict || w.CheckUTF8 || w.MaxMessageBytes > 0 || w.MaxFrameBytes > 0 ||
		w.MessagesPerSecond > 0 || w.BytesPerSecond > 0
}

// Pool is a set of backends that can stand in for each other.
type Pool struct {
	Balance     string     `koanf:"balance"`  // least_conn | p2c | round_robin | random | hash | first
	HashKey     string     `koanf:"hash_key"` // source_ip | header:NAME | query:NAME | cookie:NAME | path
	Sticky      *Sticky    `koanf:"sticky"`   // nil: not sticky
	Backends    []Backend  `koanf:"backends"`
	Discovery   *Discovery `koanf:"discovery"` // nil: Backends are all
	BackendTLS  BackendTLS `koanf:"backend_tls"`
	SendProxy   string     `koanf:"send_proxy"` // "" | v1 | v2
	Warm        int        `koanf:"warm"`       // connections to each backend, ready before a handshake; 0: none
	Health      Health     `koanf:"health"`
	WhenAllDown string     `koanf:"when_all_down"` // fail | try
	Drain       Drain      `koanf:"drain"`

	SlowStart time.Duration `koanf:"slow_start"` // 0: none
	Limits    PoolLimits    `koanf:"limits"`
	Queue     Queue         `koanf:"queue"`
	Passive   *Passive      `koanf:"passive"` // nil: live traffic has no say in health
}

// Sticky keeps a client on the backend that its first request was given.
type Sticky struct {
	By         string        `koanf:"by"`   // cookie | query | header | source_ip | token
	Name       string        `koanf:"name"` // of the cookie, query parameter, header or token
	TTL        time.Duration `koanf:"ttl"`
	MaxEntries int           `koanf:"max_entries"` // table size; unused by cookie and token
	Secret     Secret        `koanf:"secret"`      // signs cookies and tokens; empty: random, kept until the process ends
}

// Backend is one server of a pool.
type Backend struct {
	Name           string `koanf:"name"` // host:port of the URL by default
	URL            string `koanf:"url"`  // http://host:port or https://host:port; ws and wss mean the same
	Weight         int    `koanf:"weight"`
	MaxConnections int    `koanf:"max_connections"` // 0: no limit
}

// Health says how a backend is probed. An empty Type means no probes: every
// backend counts as up.
type Health struct {
	Type     string        `koanf:"type"` // "" | http | tcp | websocket
	Path     string        `koanf:"path"`
	Expect   string        `koanf:"expect"` // statuses, such as "200-399" or "200,204"
	Interval time.Duration `koanf:"interval"`
	Timeout  time.Duration `koanf:"timeout"`
	Rise     int           `koanf:"rise"`
	Fall     int           `koanf:"fall"`
	Initial  string        `koanf:"initial"` // down | up
	Retries  int           `koanf:"retries"` // of one probe, on connection errors only
	// LoadReports has backends say in their answers how full they are, and be
	// believed.
	LoadReports bool `koanf:"load_reports"`
}

// Shutdown bounds the farewell after SIGTERM.
type Shutdown struct {
	Deadline time.Duration `koanf:"deadline"`
}
