package config

import "time"

// Drain says how a backend's sockets are closed when it is drained.
type Drain struct {
	Deadline        time.Duration `koanf:"deadline"`          // then those that are left, all together
	CloseCode       int           `koanf:"close_code"`        // that clients read
	ClosesPerSecond int           `koanf:"closes_per_second"` // in the whole pool; 0: none before the deadline
	WhenRemoved     string        `koanf:"when_removed"`      // keep | drain
}

// PoolLimits bound how many WebSocket handshakes begin in a second. 0 is no
// limit.
type PoolLimits struct {
	HandshakesPerSecond           int `koanf:"handshakes_per_second"` // in the whole pool
	HandshakesPerSecondPerBackend int `koanf:"handshakes_per_second_per_backend"`
}

// Queue is where handshakes wait while the pool's limits, or max_connections of
// all its backends, are met.
type Queue struct {
	Size    int           `koanf:"size"`    // 0: nobody waits
	Timeout time.Duration `koanf:"timeout"` // of one handshake
}

// Passive ejects a backend on which live traffic fails.
type Passive struct {
	Failures          int           `koanf:"failures"` // within Window
	Window            time.Duration `koanf:"window"`
	Eject             time.Duration `koanf:"eject"` // the first time; n times that the nth
	MaxEjectedPercent int           `koanf:"max_ejected_percent"`
}
