package balancer

// pairDraws is how many draws p2c spends on finding two members that admit a
// lease before it looks at all of them.
const pairDraws = 8

// pickPowerOfTwo draws two backends at random, by weight, and takes the less
// loaded. It looks at two words where least_conn looks at all, and still keeps
// the largest load close to the mean (Mitzenmacher, "The Power of Two Choices
// in Randomized Load Balancing"); use it for pools of hundreds.
func (p *Pool) pickPowerOfTwo(a *ask) *member {
	for {
		m, w := p.lighterOfTwo(a)
		if m == nil {
			// Few members admit a lease, perhaps none: look at each.
			return p.pickLeastConn(a)
		}
		if m.swap(a, w) {
			return m
		}
	}
}

// lighterOfTwo is nil when the draws hit no member that admits a lease. When
// they hit only one, it is that one.
func (p *Pool) lighterOfTwo(a *ask) (one *member, word uint64) {
	for range pairDraws {
		m := &p.members[p.dice.throw()]
		if m == one {
			continue
		}
		w := m.state.word.Load()
		if !m.admits(a, w) || p.passesOver(m, a) {
			continue
		}
		if one == nil {
			one, word = m, w
			continue
		}
		if p.load(w, a)*p.weighed(one, word, a) < p.load(word, a)*p.weighed(m, w, a) {
			return m, w
		}
		return one, word
	}
	return one, word
}
