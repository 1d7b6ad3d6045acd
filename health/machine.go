package health

// Machine is the rise/fall rule for one backend: down until rise probes in a
// row have passed, up until fall in a row have failed. One that begins down is
// up if its very first probe passes, whatever rise is: nothing has spoken
// against it, and clients wait. It has no clock and no lock; its owner feeds it
// one result at a time. Make one with [NewMachine].
type Machine struct {
	rise, fall int
	against    int // results in a row that contradict the state
	up         bool
	judged     bool // by a result
}

// NewMachine returns a Machine in the given state. rise and fall are at least
// 1; less counts as 1.
func NewMachine(rise, fall int, up bool) Machine {
	return Machine{rise: max(rise, 1), fall: max(fall, 1), up: up}
}

// Observe takes one probe's result and tells whether it has changed the state.
func (m *Machine) Observe(ok bool) (changed bool) {
	first := !m.judged
	m.judged = true
	if ok == m.up {
		m.against = 0
		return false
	}
	m.against++
	if m.against < m.threshold() && !(first && ok) {
		return false
	}
	m.up = ok
	m.against = 0
	return true
}

// Up is the state.
func (m *Machine) Up() bool { return m.up }

// Against counts the results in a row, up to the last one, that contradict the
// state. The next such result flips it when the threshold is reached.
func (m *Machine) Against() int { return m.against }

// SetThresholds changes rise and fall and keeps the state and the count, so
// that a configuration which changes often does not keep a dead backend up.
// Nothing flips before the next result.
func (m *Machine) SetThresholds(rise, fall int) {
	m.rise, m.fall = max(rise, 1), max(fall, 1)
}

func (m *Machine) threshold() int {
	if m.up {
		return m.fall
	}
	return m.rise
}
