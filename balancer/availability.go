package balancer

import "fmt"

// Mode is what the operator wants of a backend. It is independent of health,
// which is what the probes found.
type Mode uint8

const (
	// Ready takes new leases.
	Ready Mode = iota
	// Drain takes no new leases, not even sticky ones; those it has go on.
	Drain
	// Maintenance takes no new leases either, and says that the backend is not
	// expected to answer.
	Maintenance
)

// String is ready, drain or maintenance, as the configuration and the API
// spell it.
func (m Mode) String() string {
	switch m {
	case Ready:
		return "ready"
	case Drain:
		return "drain"
	case Maintenance:
		return "maintenance"
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}

// MarshalText is [Mode.String].
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads what MarshalText wrote. It fails on anything else.
func (m *Mode) UnmarshalText(text []byte) error {
	for mode := Ready; mode <= Maintenance; mode++ {
		if string(text) == mode.String() {
			*m = mode
			return nil
		}
	}
	return fmt.Errorf("read mode: %q is none of ready, drain and maintenance", text)
}

// Four bits of a State's word say why a backend may not be picked. No bit
// set: it may. Drain and maintenance together are neither: the operator wants
// the backend, and it asks to be drained itself.
const (
	bitDown        uint64 = 1 << 63
	bitDrain       uint64 = 1 << 62
	bitMaintenance uint64 = 1 << 61
	bitEjected     uint64 = 1 << 60

	modeBits   = bitDrain | bitMaintenance
	statusBits = bitDown | bitEjected | modeBits
)

// bits is how a mode is written in the word of a State that asks to be drained,
// or does not.
func (m Mode) bits(asksDrain bool) uint64 {
	switch {
	case m == Drain:
		return bitDrain
	case m == Maintenance:
		return bitMaintenance
	case asksDrain:
		return modeBits
	}
	return 0
}

// modeOf reads the mode back.
func modeOf(word uint64) Mode {
	switch word & modeBits {
	case bitMaintenance:
		return Maintenance
	case bitDrain:
		return Drain
	}
	return Ready
}

// A bar says which of the status bits keep a backend from being picked.
const (
	// barUnusable is the rule: up, ready and not ejected, or not at all.
	barUnusable = statusBits
	// barPanic is the rule below the panic floor: ejections are ignored.
	barPanic = statusBits &^ bitEjected
	// barMode is `when_all_down: try`, once no backend is usable: health is
	// ignored. The operator's word never is, nor a backend's own.
	barMode = modeBits
)

// usable combines the axes, health (by probes and by live traffic) and mode,
// under a bar:
//
//	mode                      up     up, ejected                  down
//	ready                     yes    under barPanic and barMode   only under barMode
//	ready, asks for a drain   no     no                           no
//	drain                     no     no                           no
//	maintenance               no     no                           no
func usable(word, bar uint64) bool { return word&bar == 0 }

// Usable reports whether a pick may find the backend: it is up, ready and not
// ejected, and does not ask to be drained.
func (s *State) Usable() bool { return usable(s.word.Load(), barUnusable) }
