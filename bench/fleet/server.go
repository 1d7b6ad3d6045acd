package fleet

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server is a game server that answers each message with its name, and a Close
// with a Close, and remembers when handshakes came. A GET of /times tells that, any
// other one is answered with 200.
type Server struct {
	name string
	ln   net.Listener
	all  sync.WaitGroup

	mu     sync.Mutex
	times  []int64 // guarded by mu; Unix time in milliseconds, of each handshake
	conns  map[net.Conn]struct{}
	closed bool
}

// Serve serves ln until Close.
func Serve(ln net.Listener, name string) *Server {
	s := &Server{name: name, ln: ln, conns: map[net.Conn]struct{}{}}
	s.all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.all.Go(func() { s.serve(c) })
		}
	})
	return s
}

// Close ends all connections and returns when nothing runs any more.
func (s *Server) Close() {
	_ = s.ln.Close()
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.all.Wait()
}

func (s *Server) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	r := bufio.NewReaderSize(c, 1<<10)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		key := req.Header.Get("Sec-WebSocket-Key")
		if key == "" {
			if s.answer(c, req) != nil {
				return
			}
			continue
		}
		now := time.Now().UnixMilli()
		s.mu.Lock()
		s.times = append(s.times, now)
		s.mu.Unlock()
		sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455, section 1.3
		head := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
			base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n"
		if _, err := io.WriteString(c, head); err == nil {
			_ = s.hold(c, r)
		}
		return
	}
}

// answer answers a GET.
func (s *Server) answer(c net.Conn, req *http.Request) error {
	body := []byte("ok\n")
	if req.URL.Path == "/times" {
		s.mu.Lock()
		body, _ = json.Marshal(s.times)
		s.mu.Unlock()
	}
	resp := http.Response{StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body))}
	return resp.Write(c)
}

var errEnded = errors.New("the client has closed")

// hold answers frames until the client closes.
func (s *Server) hold(c net.Conn, r *bufio.Reader) error {
	var head [14]byte
	for {
		if _, err := io.ReadFull(r, head[:2]); err != nil {
			return err
		}
		length := int(head[1] & 0x7f)
		if length > 125 {
			return errors.New("a long frame, which no script sends")
		}
		if _, err := r.Discard(4 + length); err != nil { // the mask, too
			return err
		}
		switch head[0] & 0x0f {
		case 1:
			if _, err := c.Write(append([]byte{0x81, byte(len(s.name))}, s.name...)); err != nil {
				return err
			}
		case 8:
			_, _ = c.Write([]byte{0x88, 2, 0x03, 0xe8})
			return errEnded
		}
	}
}
