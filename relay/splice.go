//go:build linux && (amd64 || arm64)

package relay

import (
	"math"
	"syscall"

	"github.com/holdfast-lb/holdfast/internal/sys"
)

const (
	// bulkBytes is the least that must be left of a payload for it to be
	// spliced; docs/performance.md says what that is measured by.
	bulkBytes = 64 << 10
	// pipeBytes has room for a turn in pieces of 1 KiB: in a pipe each piece
	// that the wire brought takes the room of a page.
	pipeBytes = 512 << 10
)

// take moves on what a side has sent: n bytes came, 0 at the end of the stream,
// and b of them are still to be delivered, which is right up to a fault. What is
// left of a large payload is spliced, so that nobody has to deliver it.
func (l *loop) take(p *pair, from int) (n int, b []byte, f *Fault, errno sys.Errno) {
	src := &p.ends[from]
	if src.bulk && src.scan.Boundary() && p.unread(from) {
		h, errno := l.foresee(src)
		if errno != 0 {
			return 0, nil, nil, errno
		}
		if h > 0 {
			if b, f = l.follow(p, from, l.buf[:h]); f != nil || !l.splices(p, from) {
				// It does not pass as it is, so it is read like any other.
				src.bulk = false
				_, _ = sys.Recv(int(src.fd), l.buf[maxHeader:][:h])
				l.count(p, from, h)
				return h, b, f, 0
			}
			src.scan.left += uint64(h) // #nosec G115 -- at most 14
		}
	}
	if l.splices(p, from) {
		n, errno = l.splice(p, from)
		return n, nil, nil, errno
	}
	if n, b, errno = l.recv(p, from); n == 0 {
		return 0, nil, nil, errno
	}
	// A read that leaves room has emptied the socket: what comes later
	// reports itself, so the read that would say EAGAIN is saved.
	if n < len(l.buf) && !src.hup {
		src.readable = false
	}
	before := src.frames
	l.count(p, from, len(b))
	b, f = l.follow(p, from, b)
	if begun := src.frames - before; begun > 0 {
		src.bulk = uint64(n)/begun >= l.bulk && p.unread(from) // #nosec G115 -- n is above 0
	}
	return n, b, f, 0
}

// foresee returns the size of the header of a side's next frame, which it
// leaves where it is and copies to the loop's buffer, if the payload behind it
// is to be spliced: then both can go together. Otherwise it returns 0.
func (l *loop) foresee(src *end) (int, sys.Errno) {
	n, errno := sys.Peek(int(src.fd), l.buf[:maxHeader])
	if h := l.buf[:n]; n >= 2 && n >= headerSize(h[1]) {
		if size := payloadSize(h); l.large(size) {
			return headerSize(h[1]), 0
		}
	}
	return 0, errno
}

// large tells whether so much of a payload is to be spliced. A size that
// nobody ever sends is not: a header is to be added to it.
func (l *loop) large(size uint64) bool { return size >= l.bulk && size < math.MaxInt64 }

// splices tells whether what comes next from a side is to be spliced.
func (l *loop) splices(p *pair, from int) bool {
	return l.large(p.ends[from].scan.left) && p.unread(from)
}

// unread tells whether payloads of a side pass without anybody looking at them,
// or putting something behind them.
func (p *pair) unread(from int) bool {
	src, dst := &p.ends[from], &p.ends[1-from]
	return src.tls == nil && dst.tls == nil && src.scan.close == 0 && !dst.telling && !dst.gone &&
		(p.watch == nil || p.watch.sieves[from].unread())
}

// splice moves what has come of the current frame to the other side, which has
// nothing pending, up to a turn. What that does not take is kept as after any
// read, so that the pipe is empty when the next pair needs it.
func (l *loop) splice(p *pair, from int) (int, sys.Errno) {
	src, dst := &p.ends[from], &p.ends[1-from]
	const most = turnBytes + maxHeader                                  // a frame of so many bytes goes as a whole
	n, errno := l.pipe.Fill(int(src.fd), int(min(src.scan.left, most))) // #nosec G115 -- at most that
	switch errno {
	case syscall.EINVAL, syscall.ENOSYS, syscall.EPERM:
		l.bulk = math.MaxUint64 // not on this system
		return 0, sys.EINTR
	}
	if n == 0 {
		return 0, errno
	}
	src.bulk = true
	src.scan.left -= uint64(n) // #nosec G115 -- n is above 0
	l.count(p, from, n)
	if p.watch != nil {
		p.watch.sieves[from].passed()
	}
	for l.pipe.Len() > 0 {
		switch _, errno := l.pipe.Drain(int(dst.fd)); errno {
		case 0, sys.EINTR:
		case sys.EAGAIN:
			dst.pend = l.pipe.Empty(l.spare())
			dst.writable = false
		default:
			l.refused(p, 1-from)
			_ = l.pipe.Empty(l.buf[:0])
		}
	}
	return n, 0
}
