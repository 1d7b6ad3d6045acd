package balancer

// pickFirst fills the backends one after the other, in the order of the
// configuration: the next gets a lease only while those before it are full or
// not usable. It keeps a fleet small when load is low, and makes a standby of
// the last one.
func (p *Pool) pickFirst(a *ask) *member {
	for i := range p.members {
		if m := &p.members[i]; m.take(a) {
			return m
		}
	}
	return nil
}
