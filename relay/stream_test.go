package relay

import (
	"bufio"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var many = flag.Int("frames", 0, "how many frames go through the tests with random ones; 0: enough to find what is likely")

// script is the frames that one side says: the same ones for whoever sends and
// whoever awaits them.
type script struct {
	rng    *rand.Rand
	side   int
	inside bool
}

func newScript(seed uint64, side int) *script {
	return &script{rng: rand.New(rand.NewPCG(seed, uint64(side))), side: side}
}

// next returns a frame: of a message in fragments, with control frames between
// them, of any size of header.
func (s *script) next() wireFrame {
	size := s.rng.IntN(30)
	switch s.rng.IntN(200) {
	case 0, 1, 2:
		size = 120 + s.rng.IntN(12)
	case 3:
		size = 65_530 + s.rng.IntN(12)
	}
	op := [...]byte{opText, opBinary, opBinary, opPing, opPong}[s.rng.IntN(5)]
	if op >= 8 {
		if size = min(size, 125); size == 8 {
			size++ // that is what Holdfast's own look like
		}
		op |= 0x80
	} else {
		if s.inside {
			op = 0
		}
		if s.inside = s.rng.IntN(3) == 0; !s.inside {
			op |= 0x80
		}
	}
	payload := make([]byte, size)
	for i := range payload {
		payload[i] = byte('0' + (i+size)%64)
	}
	return wireFrame{op, s.side == Client, string(payload)}
}

func (f wireFrame) append(dst []byte) []byte {
	at := len(dst)
	dst = appendFrame(dst, f.op&15, f.masked, []byte(f.payload))
	dst[at] = f.op
	return dst
}

// speaker is one side of a conversation.
type speaker struct {
	*peer
	side    int
	seed    uint64
	n       int           // frames that it says
	pause   time.Duration // that it makes a few times
	breath  time.Duration // that it takes between frames
	came    atomic.Int64  // frames that it has heard
	other   *speaker
	pings   chan string   // to be answered
	heard   chan struct{} // closed at the other's Close, or the end
	stop    atomic.Bool   // Holdfast has said Close
	ordered *atomic.Bool  // the conversation ends before they are all said
	scene   *scene        // nil: none
}

const nobody = -1

// scene is what interrupts a conversation: both sides fall silent, one of them
// in the middle of a frame, until Holdfast wants to send the other one a Ping;
// and then one of them may break a rule.
type scene struct {
	at     int  // after so many frames, between two messages
	half   int  // the side in the middle of a frame, or nobody
	faulty int  // the side that breaks a rule, or nobody
	text   bool // in the text of that frame; otherwise with a frame behind it
	here   sync.WaitGroup
	goOn   chan struct{}
}

var (
	faultyText  = strings.Repeat("x", 1500) + "\xff" + strings.Repeat("x", 499)
	faultyFrame = "\x83\x00"
)

// play is a side's part in its scene, and returns how many frames of the script
// it has said.
func (s *speaker) play(script *script, rng *rand.Rand, write func([]byte) error) (n int, err error) {
	var rest []byte
	if s.side == s.scene.half {
		f := wireFrame{0x80 | opText, s.side == Client, faultyText}
		if !s.scene.text {
			f, n = script.next(), 1
		}
		b := f.append(nil)
		k := 1 + rng.IntN(len(b)/2+1)
		if err := write(b[:k]); err != nil {
			return n, err
		}
		rest = b[k:]
	}
	if s.side == s.scene.faulty && !s.scene.text {
		rest = append(rest, faultyFrame...)
	}
	s.scene.here.Done()
	select {
	case <-s.scene.goOn:
	case <-s.heard:
	}
	time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
	return n, write(rest)
}

// say sends the frames of the script, cut anywhere, and then a Close. Between
// two of them it answers Pings.
func (s *speaker) say() error {
	defer func() { _ = s.CloseWrite() }()
	played := s.scene == nil
	defer func() {
		if !played {
			s.scene.here.Done()
		}
	}()
	script := newScript(s.seed, s.side)
	rng := rand.New(rand.NewPCG(s.seed, 99))
	var b []byte
	write := func(b []byte) error {
		_ = s.SetWriteDeadline(time.Now().Add(time.Minute))
		_, err := s.Write(b)
		return err
	}
	pauses := 0
	pause := func() {
		if s.pause > 0 && pauses < 4 && rng.IntN(20) == 0 {
			pauses++
			time.Sleep(s.pause)
		}
	}
	for i := 0; i < s.n && !s.stop.Load(); {
		if s.other.behind(i) {
			time.Sleep(time.Millisecond)
			continue
		}
		due := func() bool { return !played && i >= s.scene.at && !script.inside }
		if due() {
			played = true
			n, err := s.play(script, rng, write)
			if i += n; err != nil {
				return err
			}
			continue
		}
		b = b[:0]
		for range 1 + rng.IntN(60) {
			if i == s.n || due() {
				break
			}
			b = script.next().append(b)
			i++
			select {
			case ping := <-s.pings:
				b = wireFrame{0x80 | opPong, s.side == Client, ping}.append(b)
			default:
			}
		}
		for len(b) > 0 {
			n := len(b)
			if rng.IntN(3) > 0 {
				n = 1 + rng.IntN(n)
			}
			if err := write(b[:n]); err != nil {
				return err
			}
			b = b[n:]
			pause() // silence in the middle of a frame
		}
		pause() // and between two
		time.Sleep(s.breath)
	}
	if err := write(wireFrame{0x80 | opClose, s.side == Client, "\x03\xe8"}.append(nil)); err != nil {
		return err
	}
	// Pings are answered until the other's Close has come (RFC 6455, section 5.5.2).
	for {
		select {
		case ping := <-s.pings:
			if err := write(wireFrame{0x80 | opPong, s.side == Client, ping}.append(nil)); err != nil {
				return err
			}
		case <-s.heard:
			return nil
		}
	}
}

// behind tells whether a speaker still has much to hear of n frames: a Ping that
// stands behind a backlog is answered late.
func (s *speaker) behind(n int) bool {
	select {
	case <-s.heard:
		return false
	default:
		return int64(n)-s.came.Load() > 1000
	}
}

// hear reads what the other side says, holds it against its script, and returns
// how much of it came before the Close, behind which there is nothing.
func (s *speaker) hear() (n int, err error) {
	r := bufio.NewReaderSize(s, 64<<10)
	if n, err = s.listen(r); err != nil {
		return n, err
	}
	_ = s.SetReadDeadline(time.Now().Add(time.Minute))
	if b, _ := io.ReadAll(r); len(b) > 0 {
		return n, fmt.Errorf("frame %d: a Close, and behind it %x", n, b)
	}
	return n, nil
}

func (s *speaker) listen(r *bufio.Reader) (n int, err error) {
	defer close(s.heard)
	script := newScript(s.seed, 1-s.side)
	late := false // the faulty text was heard as a whole
	next := func() wireFrame {
		if sc := s.scene; sc != nil && sc.text && sc.faulty == 1-s.side && n >= sc.at && !script.inside {
			return wireFrame{0x80 | opText, s.side == Backend, faultyText}
		}
		return script.next()
	}
	for {
		_ = s.SetReadDeadline(time.Now().Add(time.Minute))
		got, err := nextFrame(r)
		if err != nil {
			if got.op == 0 {
				return n, err
			}
			// The beginning of a frame, and nothing else.
			if want := next(); got.op != want.op || !strings.HasPrefix(want.payload, got.payload) {
				return n, fmt.Errorf("frame %d: %x %q, a part of which is not of %x %.40q (%w)", n, got.op, got.payload, want.op, want.payload, errForeign)
			}
			return n, err
		}
		if got.masked != (s.side == Backend) {
			return n, fmt.Errorf("frame %d: %+v", n, got)
		}
		switch {
		case late && (got.op != 0x80|opClose || !strings.HasPrefix(got.payload, "\x03\xe9")):
			return n, fmt.Errorf("frame %d: the faulty text, and behind it %x %.40q", n, got.op, got.payload)
		case got.op == 0x80|opPing && len(got.payload) == 8:
			s.pings <- got.payload
			continue
		case got.op == 0x80|opClose:
			code := binary.BigEndian.Uint16([]byte(got.payload))
			faulty := s.scene != nil && s.scene.faulty != nobody && (code == 1002 || code == 1007)
			ours := s.ordered.Load() || code == 1001 || faulty
			if code != 1000 && code != 1001 && !faulty || n < s.n && !ours {
				return n, fmt.Errorf("Close %x after %d frames of %d", got.payload, n, s.n)
			}
			s.stop.Store(ours)
			return n, nil
		}
		want := next()
		if got != want {
			return n, fmt.Errorf("frame %d: %x %.40q, want %x %.40q", n, got.op, got.payload, want.op, want.payload)
		}
		if want.payload == faultyText {
			// The pair was given up for silence before: what is under way then
			// passes unjudged, up to its end.
			late = true
			continue
		}
		n++
		s.came.Add(1)
	}
}

// errForeign is a frame that holds what its sender has not said.
var errForeign = errors.New("bytes of somebody else")

// nextFrame is readFrame for a stream, and returns what came of a frame that
// does not end.
func nextFrame(r *bufio.Reader) (f wireFrame, err error) {
	h, err := r.Peek(2)
	if err != nil {
		return f, err
	}
	if h, err = r.Peek(headerSize(h[1])); err != nil {
		return f, err
	}
	size := int(h[1] & 0x7f)
	switch size {
	case 126:
		size = int(binary.BigEndian.Uint16(h[2:]))
	case 127:
		size = int(binary.BigEndian.Uint64(h[2:]))
	}
	var key [4]byte
	f.op, f.masked = h[0], h[1]&0x80 != 0
	if f.masked {
		copy(key[:], h[len(h)-4:])
	}
	_, _ = r.Discard(len(h))
	b := make([]byte, size)
	n, err := io.ReadFull(r, b)
	if f.masked {
		for i := range b {
			b[i] ^= key[i&3]
		}
	}
	f.payload = string(b[:n])
	return f, err
}

// Both sides talk at once, in random frames cut anywhere; silences bring Pings
// of ours, in the middle of a frame or between two, and most of the
// conversations end with a Close of ours at any time: ordered, or since a rule
// was broken; and a client may be above its rate then, or a Ping be due. What
// each hears is what the other has said, frame by frame, up to the Close, with
// nothing but whole Pings between and nothing behind; or up to where it was cut.
// -frames 10000000 takes minutes.
func TestRandomConversations(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, r rig) {
		target, each, at := 10_000, 300, 6
		if raceEnabled {
			target /= 4
		}
		if *many > 0 {
			if target, each, at = *many, 20_000, 32; r.tls != [2]bool{} || t.Name() == "TestRandomConversations/portable" {
				target /= 100
			}
		}
		var heard, ended, pings atomic.Int64
		var all sync.WaitGroup
		for worker := range at {
			all.Go(func() {
				for seed := uint64(worker); heard.Load() < int64(target) && !t.Failed(); seed += uint64(at) {
					n, asked, err := r.converse(t, seed, each)
					heard.Add(int64(n))
					pings.Add(int64(asked))
					if err != nil {
						t.Errorf("seed %d: %v", seed, err)
					}
					ended.Add(1)
				}
			})
		}
		all.Wait()
		t.Logf("%d frames in %d conversations, with %d answers to Pings", heard.Load(), ended.Load(), pings.Load())
	})
}

// finales is how many ways there are for a conversation to end.
const finales = 6

// converse has one conversation of n frames each way, and returns how many were
// heard and how many Pings were answered.
func (r rig) converse(t *testing.T, seed uint64, n int) (heard, asked int, err error) {
	rng := rand.New(rand.NewPCG(seed, 3))
	every := 500 * time.Millisecond
	if *many > 0 {
		every = 5 * time.Second
	}
	var ordered atomic.Bool
	id := NewID()
	var guard *Guard
	if kind := seed / finales % 3; kind > 0 {
		guard = &Guard{MaxMessage: 1 << 20, UTF8: kind == 1}
	}
	sc := &scene{at: rng.IntN(n), half: rng.IntN(2), faulty: nobody, goOn: make(chan struct{})}
	switch seed % finales {
	case 0, 1: // said by both, and ordered at any time
		sc = nil
	case 2: // ordered while a Ping waits
		sc.half = Backend
	case 3: // the frame in the middle of which a Ping waits breaks a rule
		guard = &Guard{UTF8: true}
		sc.faulty, sc.text = sc.half, true
	case 4: // the other side does
		guard = &Guard{}
		sc.faulty = 1 - sc.half
	case 5: // a backend breaks one whose client is above its rate
		guard = &Guard{Throttle: true, Bytes: Rate{200_000, 4_000}}
		sc.half, sc.faulty = nobody, Backend
		close(sc.goOn)
	}
	var pauses [2]time.Duration
	if sc == nil {
		for side := range pauses {
			if rng.IntN(4) == 0 {
				pauses[side] = every * 5 / 4
			}
		}
		if pauses == [2]time.Duration{} {
			every *= 10 // nobody is silent, but if the machine stands still
		}
	}
	j := r.join(t, func(k *Call) {
		k.ID, k.Ping, k.PingBackend, k.Guard = id, every, true, guard
	})
	defer j.client.Close()
	defer j.backend.Close()
	sides := [2]*speaker{}
	var said, listened [2]error
	var all sync.WaitGroup
	var total [2]int
	for side, p := range []*peer{j.client, j.backend} {
		sides[side] = &speaker{peer: p, side: side, seed: seed, n: n, pause: pauses[side], pings: make(chan string, 1000), heard: make(chan struct{}), ordered: &ordered, scene: sc}
	}
	order := func() {
		ordered.Store(true)
		r.End(id, 1001, "that is enough", 10*time.Second)
	}
	if sc != nil {
		sc.here.Add(2)
	}
	for side, s := range sides {
		s.other = sides[1-side]
		all.Go(func() { said[side] = s.say() })
		all.Go(func() { total[side], listened[side] = s.hear() })
	}
	switch {
	case seed%finales == 1:
		time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
		order()
	case sc != nil && sc.half != nobody:
		sc.here.Wait()
		r.awaitPing(id, 1-sc.half, 2*every)
		if seed%finales == 2 {
			order()
		}
		close(sc.goOn)
	}
	all.Wait()
	_, _ = j.client.Close(), j.backend.Close()
	s := within(t, "Closed", j.owner.closed)
	// After an order, and where a pause may have been taken for a silence, since
	// the machine is busy, what is left at the end may be cut; what was heard is
	// right all the same.
	loose := ordered.Load() || sc != nil || pauses != [2]time.Duration{}
	for side := range sides {
		switch {
		case listened[side] != nil && !(loose && lost(listened[side])):
			err = fmt.Errorf("side %d hears %d frames of %d, then %w (%+v)", side, total[side], n, listened[side], s)
		case said[side] != nil && !loose:
			err = fmt.Errorf("side %d says: %w (%+v)", side, said[side], s)
		}
	}
	return total[0] + total[1], len(j.owner.trips), err
}

// awaitPing waits until a Ping to a side waits for the end of a frame, for a
// while at most: the pair may have ended.
func (r rig) awaitPing(id uint64, side int, most time.Duration) {
	for began := time.Now(); time.Since(began) < most; time.Sleep(5 * time.Millisecond) {
		if _, waits, ok := r.askedOf(id, side); waits || !ok {
			return
		}
	}
}

// lost tells whether a connection has ended, rather than said something wrong.
func lost(err error) bool {
	var n net.Error
	return err == io.EOF || err == io.ErrUnexpectedEOF || errors.As(err, &n)
}
