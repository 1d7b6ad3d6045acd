package relay

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"unicode/utf8"
)

const ours = uint64(0xfeedfacecafebe00)

// refer is the slow way: it parses a whole stream, frame by frame, and tells
// what may pass, up to where the first fault is, and which one. least is what
// must have passed of it: the frames before the faulty one.
func refer(stream []byte, g *Guard, masked bool, rsv byte, pings uint64) (pass []byte, least int, f *Fault, frames int) {
	var message []byte
	var size uint64
	inside, text, deflated := false, false, false
	for b := stream; ; {
		least = len(pass)
		if len(b) < 2 || len(b) < headerSize(b[1]) {
			return pass, least, nil, frames
		}
		h := headerSize(b[1])
		op, fin := b[0]&15, b[0]&0x80 != 0
		n := uint64(b[1] & 0x7f)
		shortest := n < 126
		switch n {
		case 126:
			n = uint64(binary.BigEndian.Uint16(b[2:]))
			shortest = n >= 126
		case 127:
			n = binary.BigEndian.Uint64(b[2:])
			shortest = n >= 65536 && n < 1<<63
		}
		payload := b[h:]
		whole := uint64(len(payload)) >= n
		if whole {
			payload = payload[:n]
		}
		clear := bytes.Clone(payload)
		if b[1]&0x80 != 0 {
			for i := range clear {
				clear[i] ^= b[h-4+i%4]
			}
		}
		if pings != 0 && b[0] == 0x8a && n == 8 && b[1]&0x80 != 0 == masked {
			if !whole {
				return pass, least, nil, frames
			}
			if binary.BigEndian.Uint64(clear)&^0xff == pings {
				frames++
				b = b[h+8:]
				continue
			}
		}
		if g != nil {
			switch {
			case op >= 8 && b[1]&0x7f > 125:
				f = faultControlSize
			case b[0]&0x70&^rsv != 0, rsv == rsv1 && b[0]&0x70 != 0 && op != 1 && op != 2:
				f = faultReservedBits
			case op >= 3 && op <= 7 || op >= 11:
				f = faultOpcode
			case masked && b[1]&0x80 == 0:
				f = faultUnmasked
			case !masked && b[1]&0x80 != 0:
				f = faultMasked
			case !shortest:
				f = faultLength
			case op >= 8 && !fin:
				f = faultControlParts
			case op == 8 && n == 1:
				f = faultCloseCode
			case op < 8 && inside && op != 0:
				f = faultInterleaved
			case op < 8 && !inside && op == 0:
				f = faultContinuation
			}
			if f == nil && op < 8 && masked { // bounds are for clients
				if op != 0 {
					size = 0
				}
				size += n
				switch {
				case g.MaxFrame > 0 && n > g.MaxFrame:
					f = faultFrameSize
				case g.MaxMessage > 0 && size > g.MaxMessage:
					f = faultMessageSize
				}
			}
			if f != nil {
				if !f.broken() {
					frames++
				}
				return pass, least, f, frames
			}
		}
		frames++
		if op < 8 {
			inside = !fin
			if op != 0 {
				message, text, deflated = nil, op == 1, b[0]&0x70 != 0
			}
		}
		pass = append(pass, b[:h]...)
		if g != nil && g.UTF8 && (op == 8 || op < 8 && text && !deflated) {
			said := clear
			if op == 8 {
				message, said = nil, clear[min(2, len(clear)):]
			}
			for i, c := range said {
				message = append(message, c)
				for n := 1; n > 0; message = message[n:] {
					if r, k := utf8.DecodeRune(message); r != utf8.RuneError || k == 3 {
						n = k
					} else {
						n = 0
					}
				}
				if !utf8Prefix(message) {
					return append(pass, payload[:i+len(clear)-len(said)]...), least, faultUTF8, frames
				}
			}
			if whole && fin && !utf8.Valid(message) {
				return append(pass, payload...), least, faultUTF8, frames
			}
		}
		pass = append(pass, payload...)
		if !whole {
			return pass, least, nil, frames
		}
		if g != nil && op == 8 {
			if len(clear) >= 2 && !validCode(binary.BigEndian.Uint16(clear)) {
				return pass, least, faultCloseCode, frames
			}
			return pass, least, nil, frames // nothing follows it
		}
		b = b[h+int(n):]
	}
}

// utf8Prefix tells whether b can become UTF-8.
func utf8Prefix(b []byte) bool {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n <= 1 {
			for _, tail := range []string{"\x80", "\x90", "\xa0", "\xbf"} {
				for _, more := range []string{"", "\x80", "\x80\x80"} {
					if len(b) < 4 && utf8.ValidString(string(b)+tail+more) {
						return true
					}
				}
			}
			return false
		}
		b = b[n:]
	}
	return true
}

// cuts sends stream through a sieve in pieces, holds it against refer, and
// returns the frames that were in it.
func cuts(t *testing.T, stream []byte, g *Guard, masked bool, rsv byte, pings uint64, next func(left int) int) (frames int) {
	t.Helper()
	want, least, fault, frames := refer(stream, g, masked, rsv, pings)
	v := sieve{guard: g, bounds: masked, masked: masked, rsv: rsv, pings: pings}
	var s Scanner
	var tally Tally
	var got []byte
	var f *Fault
	clean := false
	buf := make([]byte, 0, 64)
	for b := stream; len(b) > 0 && f == nil; {
		n := min(len(b), next(len(b)))
		r := v.sift(&s, bytes.Clone(b[:n]), buf[:0], &tally, 0)
		if r.used != n {
			t.Fatalf("%x: %d of %d bytes used", stream, r.used, n)
		}
		got = append(got, r.pass...)
		f, clean = r.fault, r.clean
		b = b[n:]
	}
	if f != fault {
		t.Fatalf("%x: fault %v, want %v", stream, f, fault)
	}
	if f == nil {
		if !bytes.Equal(got, want) {
			t.Fatalf("%x\npassed %x\nwant   %x", stream, got, want)
		}
		if int(tally.Total()) != frames {
			t.Fatalf("%x: %d frames counted, want %d", stream, tally.Total(), frames)
		}
		return frames
	}
	if len(got) < least || !bytes.HasPrefix(want, got) {
		t.Fatalf("%x\npassed %x\nof     %x\nleast  %x", stream, got, want, want[:least])
	}
	if clean != (len(got) == least) {
		t.Fatalf("%x: clean %v with %d bytes passed, frames before end at %d", stream, clean, len(got), least)
	}
	return frames
}

// Every size encoding, masked and not, cut at every place, with a control frame
// behind it and between its fragments.
func TestSieveEveryHeaderAtEveryCut(t *testing.T) {
	g := &Guard{UTF8: true, MaxMessage: 1 << 40}
	for _, masked := range []bool{false, true} {
		for _, size := range []int{0, 1, 125, 126, 127, 65535, 65536} {
			for _, op := range []byte{opText, opBinary} {
				if op == opText && size > 1000 {
					continue // refer is slow with text
				}
				payload := bytes.Repeat([]byte{'a'}, size)
				stream := appendFrame(nil, op, masked, payload)
				stream[0] &^= 0x80
				stream = appendFrame(stream, opPing, masked, []byte("between"))
				pong := appendFrame(nil, opPong, masked, binary.BigEndian.AppendUint64(nil, ours|7))
				stream = append(stream, pong...)
				stream = appendFrame(stream, 0, masked, payload)
				stream = appendFrame(stream, opPong, masked, []byte("not ours"))
				stream = appendFrame(stream, opClose, masked, []byte{3, 232, 'o', 'k'})
				head := headerSize(stream[1])
				places := []int{}
				for i := 1; i < len(stream); i++ {
					if i <= head+2 || i > head+size-2 && i <= 2*head+size+60 || i > len(stream)-60 {
						places = append(places, i)
					}
				}
				for _, at := range places {
					first := true
					cuts(t, stream, g, masked, 0, ours, func(left int) int {
						if first {
							first = false
							return at
						}
						return left
					})
				}
				if size < 200 {
					cuts(t, stream, g, masked, 0, ours, func(int) int { return 1 })
				}
			}
		}
	}
}

func TestSieveFaults(t *testing.T) {
	var strict, sized, text Guard
	sized = Guard{MaxFrame: 100, MaxMessage: 150}
	text = Guard{UTF8: true}
	frame := func(b0 byte, masked bool, payload string) []byte {
		b := appendFrame(nil, b0&15, masked, []byte(payload))
		b[0] = b0
		return b
	}
	f := func(want *Fault, g *Guard, masked bool, rsv byte, stream ...[]byte) {
		t.Helper()
		all := bytes.Join(stream, nil)
		if _, _, got, _ := refer(all, g, masked, rsv, 0); got != want {
			t.Errorf("refer: %x: %v, want %v", all, got, want)
		}
		cuts(t, all, g, masked, rsv, 0, func(int) int { return 1 })
		cuts(t, all, g, masked, rsv, 0, func(left int) int { return left })
	}
	up := func(b0 byte, payload string) []byte { return frame(b0, true, payload) }
	f(nil, &strict, true, 0, up(0x82, "fine"), up(0x89, ""), up(0x01, "a"), up(0x8a, "x"), up(0x80, "b"))
	f(faultUnmasked, &strict, true, 0, up(0x82, "fine"), frame(0x82, false, "no"))
	f(faultMasked, &strict, false, 0, frame(0x82, false, "fine"), up(0x82, "no"))
	f(faultReservedBits, &strict, true, 0, up(0xc2, "no"))
	f(nil, &strict, true, rsv1, up(0xc2, "yes"), up(0x41, "a"), up(0x80, "b"))
	f(faultReservedBits, &strict, true, rsv1, up(0x41, "a"), up(0xc0, "b"))
	f(faultReservedBits, &strict, true, rsv1, up(0xc9, ""))
	f(faultReservedBits, &strict, true, rsv1, up(0xa2, ""))
	f(nil, &strict, true, rsvAll, up(0xf2, ""), up(0xf9, ""))
	for op := byte(3); op < 8; op++ {
		f(faultOpcode, &strict, true, 0, up(0x80|op, ""))
		f(faultOpcode, &strict, true, 0, up(0x88|op, ""))
	}
	f(faultControlSize, &strict, true, 0, up(0x89, string(make([]byte, 126))))
	f(faultControlParts, &strict, true, 0, up(0x09, ""))
	f(faultContinuation, &strict, true, 0, up(0x80, "x"))
	f(faultContinuation, &strict, true, 0, up(0x01, "x"), up(0x80, "x"), up(0x80, "x"))
	f(faultInterleaved, &strict, true, 0, up(0x01, "x"), up(0x81, "x"))
	f(faultLength, &strict, true, 0, []byte{0x82, 0xfe, 0, 125, 1, 2, 3, 4}, make([]byte, 125))
	f(faultLength, &strict, true, 0, []byte{0x82, 0xff, 0, 0, 0, 0, 0, 0, 255, 255, 1, 2, 3, 4}, make([]byte, 99))
	f(faultLength, &strict, true, 0, []byte{0x82, 0xff, 128, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4}, make([]byte, 99))
	f(faultCloseCode, &strict, true, 0, up(0x88, "\x03"))
	f(faultCloseCode, &strict, true, 0, up(0x88, "\x03\xed"))
	f(faultCloseCode, &strict, true, 0, up(0x88, "\x00\x00no"))
	f(nil, &strict, true, 0, up(0x88, ""))
	f(nil, &strict, true, 0, up(0x88, "\x03\xe8"), up(0x81, "more"), up(0x88, "\x03\xed"), []byte{0xff})
	f(nil, &strict, false, 0, frame(0x88, false, ""), frame(0x81, false, "more"))
	f(faultFrameSize, &sized, true, 0, up(0x82, string(make([]byte, 101))))
	f(nil, &sized, false, 0, frame(0x82, false, string(make([]byte, 101))))
	f(faultMessageSize, &sized, true, 0, up(0x02, string(make([]byte, 100))), up(0x89, "p"), up(0x80, string(make([]byte, 51))))
	f(nil, &sized, true, 0, up(0x02, string(make([]byte, 100))), up(0x80, string(make([]byte, 50))), up(0x82, string(make([]byte, 100))))
	f(faultFrameSize, &sized, true, 0, []byte{0x82, 0xff, 127, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4})
	f(nil, &text, true, 0, up(0x01, "κόσ"), up(0x80, "με"), up(0x82, "\xff"))
	f(nil, &text, true, 0, up(0x01, "\xce"), up(0x89, "\xff"), up(0x80, "\xba"))
	f(faultUTF8, &text, true, 0, up(0x01, "\xce"), up(0x80, ""))
	f(faultUTF8, &text, true, 0, up(0x81, "ok"), up(0x81, "abcdefghijklmnop\xed\xa0\x80"))
	f(faultUTF8, &text, true, 0, up(0x81, "\xf4\x90\x80\x80"))
	f(nil, &text, true, rsv1, up(0xc1, "\xff\xff"))
	f(faultUTF8, &text, true, 0, up(0x88, "\x03\xe8\xff"))
}

// randomStream is frames that mostly keep to the rules.
func randomStream(rng *rand.Rand, masked bool) (b []byte) {
	inside := false
	for range 1 + rng.IntN(12) {
		op := []byte{opText, opBinary, opPing, opPong, opPong}[rng.IntN(5)]
		payload := make([]byte, rng.IntN(20))
		switch rng.IntN(20) {
		case 0:
			payload = make([]byte, 120+rng.IntN(20))
		case 1:
			payload = make([]byte, 65530+rng.IntN(12))
		case 2:
			op = opClose
			payload = append([]byte{3, 232}, payload...)
		}
		const letters = "abκόσμε\xe2\x82\xac\U0001f600"
		for i := range payload {
			if op != opClose || i >= 2 {
				payload[i] = letters[i%len(letters)]
			}
		}
		if op == opPong && rng.IntN(2) == 0 {
			payload = binary.BigEndian.AppendUint64(nil, ours|rng.Uint64N(256))
			if rng.IntN(3) == 0 {
				payload[rng.IntN(8)]++
			}
		}
		if op >= 8 && len(payload) > 125 {
			payload = payload[:125]
		}
		fin := byte(0x80)
		if op < 8 {
			if inside {
				op = 0
			}
			if rng.IntN(2) == 0 {
				fin = 0
			}
			inside = fin == 0
		}
		at := len(b)
		b = appendFrame(b, op, masked, payload)
		b[at] = fin | op
		if rng.IntN(40) == 0 {
			b[at+rng.IntN(2)] ^= 1 << rng.IntN(8)
		}
	}
	if rng.IntN(3) == 0 {
		b = b[:rng.IntN(len(b)+1)]
	}
	return b
}

// Random streams, cut at random, against the slow reference.
func TestSieveAgainstReference(t *testing.T) {
	target := 25_000
	if testing.Short() || raceEnabled {
		target = 4_000
	}
	if *many > 0 {
		target = *many
	}
	rng := rand.New(rand.NewPCG(5, 5))
	guards := []*Guard{nil, {}, {UTF8: true}, {MaxFrame: 100, MaxMessage: 130}, {UTF8: true, MaxMessage: 70_000}}
	for frames := 0; frames < target; {
		masked := rng.IntN(2) == 0
		most := 1 + rng.IntN(40)
		if rng.IntN(4) == 0 {
			most = 1 << 20
		}
		stream := randomStream(rng, masked)
		if len(stream) > 2000 && most < 40 {
			most = 1 << 14
		}
		rsv := []byte{0, 0, rsv1, rsvAll}[rng.IntN(4)]
		frames += cuts(t, stream, guards[rng.IntN(len(guards))], masked, rsv, []uint64{0, ours}[rng.IntN(2)],
			func(int) int { return 1 + rng.IntN(most) })
	}
}

func FuzzSieve(f *testing.F) {
	rng := rand.New(rand.NewPCG(6, 6))
	for i := range 20 {
		f.Add(randomStream(rng, i%2 == 0), uint64(i), byte(i))
	}
	guards := []*Guard{nil, {}, {UTF8: true}, {MaxFrame: 100, MaxMessage: 130}}
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64, kind byte) {
		rng := rand.New(rand.NewPCG(seed, 7))
		most := 1 + rng.IntN(30)
		cuts(t, stream, guards[kind%4], kind&4 != 0, []byte{0, rsv1}[kind>>3&1], []uint64{0, ours}[kind>>4&1],
			func(int) int { return 1 + rng.IntN(most) })
	})
}

func TestTextCheck(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	alphabet := []byte{'a', 'b', 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff}
	for range 200_000 {
		b := make([]byte, rng.IntN(30))
		for i := range b {
			b[i] = 'a'
			if rng.IntN(4) == 0 {
				b[i] = alphabet[rng.IntN(len(alphabet))]
			}
		}
		var key [4]byte
		binary.LittleEndian.PutUint32(key[:], rng.Uint32())
		hidden := bytes.Clone(b)
		for i := range hidden {
			hidden[i] ^= key[i%4]
		}
		var c textCheck
		cut := rng.IntN(len(b) + 1)
		ok := c.masked(hidden[:cut], key, 0) && c.masked(hidden[cut:], key, uint8(cut)) && c.whole()
		if ok != utf8.Valid(b) {
			t.Fatalf("%q: %v, want %v", b, ok, !ok)
		}
	}
}

func TestMeter(t *testing.T) {
	const second = int64(1e9)
	f := func(r Rate, per int64, n uint64, want int) {
		t.Helper()
		var m meter
		passed := 0
		for now := int64(0); now < 10*second; now += per {
			if m.wait(r, n, now) == 0 {
				m.add(r, n, now)
				passed++
			}
		}
		if passed < want-1 || passed > want+1 {
			t.Errorf("%+v: %d of %d passed in 10 s, want %d", r, passed, 10*second/per, want)
		}
	}
	f(Rate{10, 10}, second/100, 1, 110)
	f(Rate{10, 1}, second/100, 1, 100)
	f(Rate{100, 5}, second/10, 1, 100) // not above the rate: all pass
	f(Rate{1 << 20, 1 << 20}, second/100, 1<<17, 88)
	var m meter
	r := Rate{1000, 500}
	if n := m.room(r, 0); n != 500 {
		t.Errorf("room for %d, want 500", n)
	}
	m.add(r, 500, 0)
	if n := m.room(r, second/10); n != 100 {
		t.Errorf("room for %d, want 100", n)
	}
	if d := m.wait(r, 10_000, 0); d != second/2 {
		t.Errorf("wait of %d ns for more than ever fits, want that for the burst", d)
	}
}

func TestNegotiated(t *testing.T) {
	f := func(fields string, want byte) {
		t.Helper()
		if got := negotiated([]byte("HTTP/1.1 101 Switching Protocols\r\n" + fields + "\r\n")); got != want {
			t.Errorf("%q: %#x, want %#x", fields, got, want)
		}
	}
	f("", 0)
	f("Sec-WebSocket-Extensions:\r\n", 0)
	f("sec-websocket-extensions: permessage-deflate; server_no_context_takeover\r\n", rsv1)
	f("Sec-WebSocket-Extensions: x-other, permessage-deflate\r\n", rsvAll)
	f("Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Extensions: foo;bar\r\n", rsvAll)
	f("X-Sec-WebSocket-Extensions: foo\r\n", 0)
}

// What a guard costs a small message, and that it allocates nothing.
func BenchmarkSieve(b *testing.B) {
	frame := appendFrame(nil, opText, true, bytes.Repeat([]byte("x"), 64))
	for _, g := range []*Guard{nil, {}, {MaxMessage: 1 << 20, Messages: Rate{1e9, 1e9}}, {UTF8: true}} {
		b.Run(fmt.Sprintf("%+v", g), func(b *testing.B) {
			v := sieve{guard: g, bounds: true, masked: true}
			var s Scanner
			var t Tally
			b.ReportAllocs()
			now := int64(0)
			for b.Loop() {
				now += 1000
				if r := v.sift(&s, frame, nil, &t, now); len(r.pass) != len(frame) {
					b.Fatal(r)
				}
			}
		})
	}
	b.Run("scanner alone", func(b *testing.B) {
		var s Scanner
		var t Tally
		for b.Loop() {
			s.Scan(frame, &t)
		}
	})
}
