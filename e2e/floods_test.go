package e2e

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// floods are attacks on what comes before a request and beside it. The last two
// need openssl.
var floods = []attack{
	{"TLS garbage", func(ctx context.Context, f front) { hold(ctx, f.secure, 16, garbage("\x16\x03\x01\x02\x00")) }},
	{"TLS records of another kind", func(ctx context.Context, f front) { hold(ctx, f.secure, 16, garbage("\x17\x03\x03\x40\x00")) }},
	{"half TLS handshakes", func(ctx context.Context, f front) { hold(ctx, f.secure, 300, says(clientHello())) }},
	{"TLS handshakes", func(ctx context.Context, f front) { hold(ctx, f.secure, 16, shakes) }},
	{"PROXY garbage", func(ctx context.Context, f front) { hold(ctx, f.announced, 64, garbage("")) }},
	{"PROXY v2 garbage", func(ctx context.Context, f front) { hold(ctx, f.announced, 64, garbage("\r\n\r\n\x00\r\nQUIT\n")) }},
	{"PROXY headers without end", func(ctx context.Context, f front) {
		hold(ctx, f.announced, 64, says("PROXY TCP4 "+strings.Repeat("1", 64<<10)))
	}},
	{"slow PROXY headers", func(ctx context.Context, f front) { hold(ctx, f.announced, 300, drip("PROXY ", "T")) }},
	{"addresses", func(ctx context.Context, f front) {
		anywhere := func() net.IP { return binary.BigEndian.AppendUint32(nil, 127<<24|rand.Uint32N(1<<24-2)+1) } // #nosec G404
		holdFrom(ctx, anywhere, f.web, 16, says(opensAndEnds))
	}},
	{"announced addresses", func(ctx context.Context, f front) {
		hold(ctx, f.announced, 16, func(ctx context.Context, c net.Conn) {
			ip := [16]byte{0x20, 0x01}
			binary.BigEndian.PutUint64(ip[2:], rand.Uint64()) // #nosec G404
			says("PROXY TCP6 "+netip.AddrFrom16(ip).String()+" ::1 1 80\r\n"+opensAndEnds)(ctx, c)
		})
	}},
	{"log lines", func(ctx context.Context, f front) {
		loud := headed("GET /?"+strings.Repeat("'", 7<<10)+" HTTP/1.1", "User-Agent: "+strings.Repeat(`"`, 7<<10))
		hold(ctx, f.web, 16, says(strings.Repeat(loud, 8)+asks("Connection: close")))
	}},
	{"paths against a pattern", func(ctx context.Context, f front) {
		hold(ctx, f.web, 16, says(strings.Repeat(headed("GET /pattern/"+strings.Repeat("x", 12<<10)+" HTTP/1.1"), 8)))
	}},
	{"chunk extensions", func(ctx context.Context, f front) {
		hold(ctx, f.web, 16, says(inChunks("5;"+strings.Repeat("x", 1<<20))))
	}},
	{"chunks of one byte", func(ctx context.Context, f front) {
		hold(ctx, f.web, 16, says(inChunks(strings.Repeat("1\r\nx\r\n", 100_000)+"0\r\n\r\n")))
	}},
	{"TLS renegotiation", func(ctx context.Context, f front) { types(ctx, f.secure, "-tls1_2", "R\n") }},
	{"TLS key updates", func(ctx context.Context, f front) { types(ctx, f.secure, "-tls1_3", "K\n") }},
}

// TestFloods is TestExhaustion for what comes before a request and beside it:
// TLS, PROXY headers, addresses, log lines, patterns, framing.
func TestFloods(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux gives clients all of 127.0.0.0/8")
	}
	length := time.Duration(scale(1000, 400, 400)) * time.Millisecond
	b := startArena(t, "b1")
	cert, key := testkit.CertFiles(t, t.TempDir(), "web", testkit.NewAuthority(t).Issue("127.0.0.1"))
	secure, announced := freeAddr(t), freeAddr(t)
	const limits = "limits: {max_connections_per_ip: 400, handshakes_per_second_per_ip: 500, max_body_bytes: 1MiB}, timeouts: {header: 1s, body: 1s, idle: 2s}"
	p := start(t, setup{
		listener: limits + fmt.Sprintf("}, {name: secure, address: %q, tls: {certificates: [{cert: %q, key: %q}]}, %s", secure, cert, key, limits) +
			fmt.Sprintf("}, {name: announced, address: %q, proxy_protocol: [127.0.0.0/8], %s", announced, limits),
		log: "access: access.log",
		rest: `routes:
  - {name: pattern, path: /pattern, pool: web, rewrite: {pattern: "^/pattern/(x+x+)+y", replacement: /}}
  - {name: all, path: /, pool: web}
` + pool("web", []string{b.Addr}),
	})
	attacks := floods
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Log("without openssl there is neither a renegotiation nor a key update")
		attacks = floods[:len(floods)-2]
	}
	p.withstand(t, length, front{p.web, secure, announced}, b.Addr, attacks)
	p.told("HF-4007")
}
