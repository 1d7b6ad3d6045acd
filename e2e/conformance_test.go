package e2e

import (
	"bufio"
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/fasthttp/websocket"
	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// The categories of the Autobahn test suite, rewritten: framing, pings,
// reserved bits, opcodes, fragmentation, UTF-8, closing, limits, compression.
// Each case is what a client sends; what it reads from a strict echo server
// must be the same with Holdfast between them, with and without its guard.

// conformanceCase is one exchange.
type conformanceCase struct {
	name    string
	deflate bool // offer permessage-deflate
	sent    []byte
	chop    int      // bytes a write; 0: all at once
	fails   []uint16 // status codes that may end it; none: the client ends it
	lax     bool     // the server's library lets it pass, against RFC 6455
}

// strictEcho sends every message back, and refuses text that is not UTF-8,
// which the library leaves to the application.
func strictEcho() fasthttp.RequestHandler {
	u := websocket.FastHTTPUpgrader{
		EnableCompression: true,
		CheckOrigin:       func(*fasthttp.RequestCtx) bool { return true },
	}
	return func(ctx *fasthttp.RequestCtx) {
		_ = u.Upgrade(ctx, func(c *websocket.Conn) {
			for {
				kind, message, err := c.ReadMessage()
				if err == nil && kind == websocket.TextMessage && !utf8.Valid(message) {
					_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1007, ""), time.Now().Add(time.Second))
					return
				}
				if err != nil || c.WriteMessage(kind, message) != nil {
					return
				}
			}
		})
	}
}

// conformanceCases builds the table.
func conformanceCases() (all []conformanceCase) {
	var category, n int
	add := func(chop int, fails []uint16, frames ...testkit.Frame) {
		n++
		c := conformanceCase{name: fmt.Sprintf("%d.%d", category, n), chop: chop, fails: fails}
		for _, f := range frames {
			c.sent = f.Append(c.sent)
		}
		all = append(all, c)
	}
	next := func(to int) { category, n = to, 0 }
	frame := func(opcode byte, fin bool, payload string) testkit.Frame {
		return testkit.Frame{Fin: fin, Opcode: opcode, Payload: []byte(payload)}.Mask()
	}
	text := func(s string) testkit.Frame { return frame(testkit.OpText, true, s) }
	ping := func(s string) testkit.Frame { return frame(testkit.OpPing, true, s) }
	pong := func(s string) testkit.Frame { return frame(testkit.OpPong, true, s) }
	more := func(fin bool, s string) testkit.Frame { return frame(testkit.OpContinuation, fin, s) }
	begin := func(s string) testkit.Frame { return frame(testkit.OpText, false, s) }
	bye := func(s string) testkit.Frame { return frame(testkit.OpClose, true, s) }
	code := func(c int) string { return string([]byte{byte(c >> 8), byte(c)}) }
	var fine []uint16
	broken := []uint16{1002}
	unreadable := []uint16{1007}

	next(1) // framing
	for _, opcode := range []byte{testkit.OpText, testkit.OpBinary} {
		for _, size := range []int{0, 1, 125, 126, 127, 128, 65535, 65536} {
			for _, chop := range []int{0, 997, 1} {
				if chop == 1 && size > 200 {
					continue
				}
				add(chop, fine, frame(opcode, true, strings.Repeat("*", size)))
			}
		}
	}
	next(2) // pings and pongs
	for _, chop := range []int{0, 1} {
		add(chop, fine, ping(""))
		add(chop, fine, ping("Hello, world!"))
		add(chop, fine, ping("\x00\xff\xfe\xfd\xfc\xfb\x00\xff"))
		add(chop, fine, ping(strings.Repeat("\xfe", 125)))
		add(chop, broken, ping(strings.Repeat("\xfe", 126)))
		add(chop, fine, pong(""))
		add(chop, fine, pong("unsolicited pong payload"))
		add(chop, fine, pong("unsolicited pong payload"), ping("ping payload"))
		add(chop, fine, slices.Repeat([]testkit.Frame{ping("payload")}, 10)...)
	}
	next(3) // reserved bits
	for rsv := byte(1); rsv < 8; rsv++ {
		for _, f := range []testkit.Frame{text("Hello, world!"), frame(testkit.OpBinary, true, "\x00\xff"), ping("x"), bye(code(1000))} {
			f.RSV = rsv
			add(0, broken, f)
			add(0, broken, text("Hello"), f)
			add(1, broken, text("Hello"), ping("y"), f)
		}
	}
	next(4) // opcodes
	for _, opcode := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		add(0, broken, frame(opcode, true, ""))
		add(0, broken, frame(opcode, true, "reserved opcode payload"))
		add(1, broken, text("Hello"), frame(opcode, true, ""))
		add(0, broken, text("Hello"), frame(opcode, true, "x"))
	}
	next(5) // fragmentation
	for _, chop := range []int{0, 1} {
		add(chop, broken, frame(testkit.OpPing, false, "fragment1"))
		add(chop, broken, frame(testkit.OpPong, false, "fragment1"))
		add(chop, fine, begin("fragment1"), more(true, "fragment2"))
		add(chop, fine, begin("fragment1"), ping("between"), more(true, "fragment2"))
		add(chop, broken, more(true, "non-continuation payload"))
		add(chop, broken, more(false, "non-continuation payload"))
		add(chop, broken, text("Hello"), more(true, "x"))
		add(chop, broken, begin("fragment1"), text("fragment2"))
		add(chop, broken, begin("fragment1"), more(true, "fragment2"), more(false, "fragment3"))
		add(chop, fine, begin("f1"), more(false, "f2"), ping("1"), more(false, "f3"), more(false, "f4"), ping("2"), more(true, "f5"))
		add(chop, fine, begin(""), more(false, ""), more(true, ""))
		add(chop, fine, begin(""), more(false, "middle"), more(true, ""))
	}
	next(6) // UTF-8
	for _, s := range []string{
		"Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\x00", "\u0080", "\u0800", "\U00010000", "\u007f", "\u07ff", "\uffff",
		"\U0010ffff", "\ud7ff", "\ue000", "\ufffd", "\ufffe", "\U0001fffe", "\U0001ffff",
	} {
		add(0, fine, text(s))
		add(1, fine, text(s))
		f := []testkit.Frame{begin(s[:1])}
		for i := 1; i < len(s); i++ {
			f = append(f, more(false, s[i:i+1]))
		}
		add(0, fine, append(f, more(true, ""))...)
	}
	for _, s := range []string{
		"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80", "\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xf4\x90\x80\x80",
		"\x80", "\xbf", "\x80\xbf", "\xc0", "\xe0\x80", "\xf0\x80\x80", "\xfe", "\xff", "\xc0\xaf", "\xe0\x80\xaf",
		"\xf0\x80\x80\xaf", "\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xed\xa0\x80", "\xed\xbf\xbf", "\xed\xa0\x80\xed\xb0\x80",
		"κόσμε\xed\xa0\x80edited", "\xce\xba\xe1", "\xf4",
	} {
		add(0, unreadable, text(s))
		add(1, unreadable, text(s))
		add(0, unreadable, begin("κόσμε"), more(true, s))
	}
	next(7) // closing
	add(0, nil, text("Hello"), bye(code(1000)))
	add(0, nil, bye(code(1000)), bye(code(1000)))
	add(0, nil, bye(code(1000)), ping("after"))
	add(0, nil, bye(code(1000)), text("after"))
	add(0, nil, begin("fragment1"), bye(code(1000)), more(true, "fragment2"))
	add(0, nil, text(strings.Repeat("BAsd7&jh23", 26*1024)), bye(code(1000)))
	add(0, nil, bye(""))
	add(0, broken, bye("\x03"))
	all[len(all)-1].lax = true
	add(0, nil, bye(code(1000)))
	add(0, nil, bye(code(1000)+"Hello World!"))
	add(0, nil, bye(code(1000)+strings.Repeat("*", 123)))
	add(0, broken, bye(code(1000)+strings.Repeat("*", 124)))
	add(0, []uint16{1002, 1007}, bye(code(1000)+"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80"))
	for _, c := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		add(0, nil, bye(code(c)))
		add(1, nil, bye(code(c)+"reason"))
	}
	for _, c := range []int{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535} {
		add(0, broken, bye(code(c)))
	}
	next(9) // limits
	for _, size := range []int{64 << 10, 256 << 10, 1 << 20, 4 << 20} {
		for _, opcode := range []byte{testkit.OpText, testkit.OpBinary} {
			add(0, fine, frame(opcode, true, strings.Repeat("*", size)))
			for _, part := range []int{256, 4096, 65536} {
				if size/part > 4096 {
					continue
				}
				f := []testkit.Frame{frame(opcode, false, strings.Repeat("*", part))}
				for sent := part; sent < size; sent += part {
					f = append(f, more(sent+part >= size, strings.Repeat("*", part)))
				}
				if part < size {
					add(0, fine, f...)
				}
			}
		}
		add(1024, fine, text(strings.Repeat("*", min(size, 256<<10))))
	}
	for _, size := range []int{0, 16, 64, 256, 1024} {
		add(0, fine, slices.Repeat([]testkit.Frame{text(strings.Repeat("*", size))}, 1000)...)
	}
	next(12) // compression
	for _, size := range []int{0, 16, 64, 256, 1024, 8192, 65536, 131072} {
		for _, parts := range []int{1, 2, 7} {
			for _, chop := range []int{0, 997} {
				packed := deflated(strings.Repeat(`{"id":"Hello, world"},`, size/22+1)[:size])
				var f []testkit.Frame
				for i := range parts {
					piece := packed[len(packed)*i/parts : len(packed)*(i+1)/parts]
					f = append(f, more(i == parts-1, piece))
				}
				f[0].Opcode, f[0].RSV = testkit.OpText, 4
				add(chop, fine, append(f, text("plain"))...)
			}
		}
	}
	late, control := more(true, "x"), ping("x")
	late.RSV, control.RSV = 4, 4
	add(0, broken, begin("fragment1"), late)
	add(0, broken, control)
	all[len(all)-1].lax, all[len(all)-2].lax = true, true
	for i := range all {
		all[i].deflate = strings.HasPrefix(all[i].name, "12.")
		if c := &all[i]; c.fails == nil && !strings.HasPrefix(c.name, "7.") {
			c.sent = bye(code(1000)).Append(c.sent)
		}
	}
	return all
}

// deflated is s as permessage-deflate puts it (RFC 7692, section 7.2.1).
func deflated(s string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestSpeed)
	_, _ = io.WriteString(w, s)
	_ = w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// run plays a case and returns the frames that the client read, in words.
func (c *conformanceCase) run(addr string) ([]string, error) {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	var lines []string
	if c.deflate {
		lines = []string{"Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover"}
	}
	if _, err := io.WriteString(conn, testkit.HandshakeRequest(addr, "/", lines...)); err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("handshake: %w, answer %+v", err, resp)
	}
	go func() {
		for b := c.sent; len(b) > 0; {
			n := len(b)
			if c.chop > 0 {
				n = min(n, c.chop)
			}
			if _, err := conn.Write(b[:n]); err != nil {
				return
			}
			b = b[n:]
		}
	}()
	var got []string
	for {
		f, err := testkit.ReadFrame(r)
		if err != nil {
			return got, nil // how the connection ends is TCP's affair
		}
		if f.Opcode == testkit.OpClose {
			return append(got, fmt.Sprintf("close %d", f.CloseCode())), nil
		}
		got = append(got, fmt.Sprintf("fin %v rsv %d opcode %d: %d bytes %x", f.Fin, f.RSV, f.Opcode, len(f.Payload), f.Payload))
	}
}

// Direct, through Holdfast, and through Holdfast's guard: the same, case by
// case.
func TestConformance(t *testing.T) {
	t.Parallel()
	server := testkit.StartBackend(t, strictEcho())
	plain := start(t, setup{rest: siteOf([]string{server.Addr})})
	guarded := start(t, setup{rest: "routes: [{name: all, path: /, pool: web, websocket: {strict: true, check_utf8: true, ping_interval: 30s}}]\n" +
		pool("web", []string{server.Addr})})
	all := conformanceCases()
	if testing.Short() || raceEnabled {
		n := 0
		all = slices.DeleteFunc(all, func(conformanceCase) bool { n++; return n%7 != 0 })
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(all)); i = next.Add(1) - 1 {
				if err := all[i].compare(server.Addr, plain.web, guarded.web); err != nil {
					t.Errorf("case %s: %v", all[i].name, err)
				}
			}
		})
	}
	workers.Wait()
	t.Logf("%d cases", len(all))
}

// compare plays a case against the server itself, through Holdfast, and
// through its guard.
func (c *conformanceCase) compare(server, plain, guarded string) error {
	var got [3][]string
	for i, addr := range []string{server, plain, guarded} {
		var err error
		if got[i], err = c.run(addr); err != nil {
			return err
		}
	}
	direct, through, judged := got[0], got[1], got[2]
	if c.fails != nil && !c.lax && !c.failed(direct) {
		return fmt.Errorf("the server did not end it with %d:\n%.300q", c.fails, direct)
	}
	if !slices.Equal(direct, through) {
		return fmt.Errorf("direct and through Holdfast differ:\n%.300q\n%.300q", direct, through)
	}
	// Where the server fails a case, the guard does so first: perhaps with the
	// other code that fits, and before all answers to what came before are back.
	if n := len(judged) - 1; c.fails != nil && (!c.failed(judged) || n > len(direct) || !slices.Equal(direct[:n], judged[:n])) ||
		c.fails == nil && !slices.Equal(direct, judged) {
		return fmt.Errorf("direct and through the guard differ:\n%.300q\n%.300q", direct, judged)
	}
	return nil
}

// failed tells whether what a client read ends as the case should fail.
func (c *conformanceCase) failed(got []string) bool {
	return len(got) > 0 && slices.ContainsFunc(c.fails, func(code uint16) bool {
		return got[len(got)-1] == fmt.Sprintf("close %d", code)
	})
}
