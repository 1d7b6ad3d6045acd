package proxy

// appendPlain appends path as the most obliging of servers may understand it:
// percent-encoding decoded, also of slashes and of what was encoded twice;
// backslashes turned; parameters behind a semicolon cut from each segment, and
// what is behind a decoded "?" or "#"; empty segments and "." left out. A
// malformed escape stands for itself.
//
// A server that understands less finds less of it: a path that leads to one
// route as it is written, and also as it is here, leads there for every server.
// ok is false for what that does not hold of:
//
//   - A segment "..", however disguised: what it takes away depends on how much
//     of the rest is understood. RFC 3986, section 5.2.4, has clients resolve it
//     before they send.
//   - A slash within parameters that is encoded, or a backslash: for some the
//     parameters end there, for others at the next plain slash.
//   - An encoded control character: some take it for the end, others trim it.
//
// Where two slashes begin a path some servers read a host (RFC 3986, section
// 4.2). For them it begins at plain[host:]; host is 0 if nothing looks like one.
// A slash within it must be plain, too.
func appendPlain(dst, path []byte) (plain []byte, host int, ok bool) {
	root := len(dst)
	p := plainPath{dst: append(dst, '/'), segment: root + 1}
	for i, c := range path {
		c, decoded := p.put(c)
		switch {
		case c < ' ' || c == 0x7f:
			return p.dst, 0, false
		case c == ';':
			p.doubtful = true
			p.cut()
		case decoded && (c == '?' || c == '#'):
			p.cut()
		case c == '/' || c == '\\':
			if p.doubtful && (decoded || c == '\\') {
				return p.dst, 0, false
			}
			p.cut()
			if !p.close() {
				return p.dst, 0, false
			}
			if p.dst[len(p.dst)-1] != '/' {
				p.dst = append(p.dst, '/')
			}
			p.segment = len(p.dst)
			p.inHost = p.host == 0 && i > 0 && p.segment == root+1
			p.doubtful = p.inHost
		}
	}
	ok = p.close()
	return p.dst, p.host, ok
}

// plainPath is a path that appendPlain is writing.
type plainPath struct {
	dst      []byte
	segment  int  // where the last segment begins
	end      int  // of what is not to be cut from it; 0: all stays
	doubtful bool // not every server ends the segment at a slash that is not plain
	inHost   bool // the segment may be a host
	host     int
}

// put appends c, and returns what it has completed: itself, or the character
// that it is the last digit of.
func (p *plainPath) put(c byte) (last byte, decoded bool) {
	p.dst = append(p.dst, c)
	for {
		n := len(p.dst)
		if n-p.segment < 3 || p.dst[n-3] != '%' {
			return p.dst[n-1], decoded
		}
		high, low := unhex(p.dst[n-2]), unhex(p.dst[n-1])
		if high < 0 || low < 0 {
			return p.dst[n-1], decoded
		}
		p.dst = append(p.dst[:n-3], byte(high<<4|low)) // #nosec G115 -- two digits
		decoded = true
	}
}

// cut has the segment end before the last character.
func (p *plainPath) cut() {
	if p.end == 0 {
		p.end = len(p.dst) - 1
	}
}

// close ends the segment, which goes if it is "."; it is false if it is "..".
func (p *plainPath) close() bool {
	if p.end > 0 {
		p.dst, p.end = p.dst[:p.end], 0
	}
	switch string(p.dst[p.segment:]) {
	case ".":
		p.dst = p.dst[:p.segment]
	case "..":
		return false
	}
	if p.inHost && len(p.dst) > p.segment {
		p.host = len(p.dst)
	}
	return true
}

// isPlain tells whether appendPlain would return path as it is.
func isPlain(path []byte) bool {
	slash := false
	for _, c := range path {
		switch {
		case c == '%' || c == '\\' || c == ';':
			return false
		case slash && (c == '/' || c == '.'):
			return false
		}
		slash = c == '/'
	}
	return true
}
