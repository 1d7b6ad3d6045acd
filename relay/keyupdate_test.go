//go:build linux && (amd64 || arm64)

package relay

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/sys"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// keyUpdate returns the record with which a server of TLS 1.3 asks its client
// for a new key (RFC 8446, section 4.6.3), as the first that it says under
// secret, which is for AES-128-GCM.
func keyUpdate(t *testing.T, secret []byte) []byte {
	t.Helper()
	expand := func(label string, n int) []byte {
		info := binary.BigEndian.AppendUint16(nil, uint16(n))
		info = append(info, byte(len("tls13 "+label)))
		info = append(info, "tls13 "+label+"\x00"...)
		b, err := hkdf.Expand(sha256.New, secret, string(info), n)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	block, err := aes.NewCipher(expand("key", 16))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	said := []byte{24, 0, 0, 1, 1, 22} // KeyUpdate, update_requested; a handshake message
	head := []byte{23, 3, 3, 0, byte(len(said) + aead.Overhead())}
	return aead.Seal(head, expand("iv", 12), said, head)
}

// A backend wants a new key while a request is on its way to it that it does not
// take at once: what TLS answers stands behind the request.
func TestKeyUpdateWhileARequestIsUnderWay(t *testing.T) {
	r, err := New(Options{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	g := rig{r, [2]bool{false, true}}
	l := listen(t)
	var keys bytes.Buffer
	accepted := make(chan *tls.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		conf := serverTLS().Clone()
		conf.KeyLogWriter, conf.SessionTicketsDisabled = &keys, true
		s := tls.Server(c, conf)
		if err := s.Handshake(); err != nil {
			t.Errorf("handshake: %v", err)
		}
		accepted <- s
	}()
	spare, err := Connect(t.Context(), addr(l), clientTLS(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	b := within(t, "connection", accepted)
	defer b.Close()
	if suite := b.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skipf("needs AES-128-GCM, which TLS chooses where the processor helps; it has chosen %s", tls.CipherSuiteName(suite))
	}
	_, line, ok := strings.Cut(keys.String(), "SERVER_TRAFFIC_SECRET_0 ")
	fields := strings.Fields(line)
	if !ok || len(fields) < 2 {
		t.Fatalf("no secret in %q", keys.String())
	}
	secret, err := hex.DecodeString(fields[1])
	if err != nil {
		t.Fatal(err)
	}

	_, at := g.client(t)
	o := newOwner()
	k := g.call(at, addr(l), o)
	k.Spare = spare
	k.Request = bytes.Repeat([]byte("GET "), 4<<20) // more than buffers hold
	if err := r.Open(k); err != nil {
		t.Fatal(err)
	}
	if _, err := b.NetConn().(*net.TCPConn).Write(keyUpdate(t, secret)); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, 10*time.Second, func() (answered bool) {
		r.engines[0].(*loop).ask(func(l *loop) {
			l.table.each(func(p *pair) { answered = p.call != nil && p.call.replies > 0 })
		})
		return answered
	}, "an answer to the wish for a new key")
	got := make([]byte, len(k.Request))
	if n, err := io.ReadFull(steady{b}, got); err != nil || !bytes.Equal(got, k.Request) {
		t.Fatalf("the backend read %d bytes of the request, then %v", n, err)
	}
	_ = b.NetConn().Close()
	f := within(t, "Failed", o.failed)
	sys.Close(f.Client)
}
