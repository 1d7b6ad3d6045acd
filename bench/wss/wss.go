// Package wss loads a balancer with WebSockets over TLS, a goroutine each. The
// generator of package load is leaner, and speaks no TLS: here the generator's
// own cost is of the order of what it measures, so figures are to be read for
// the balancer's process alone, and side by side.
package wss

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-lb/holdfast/bench/usage"
)

// Plan is one measurement.
type Plan struct {
	Target   string        // host:port
	Pid      int           // of the balancer, whose CPU time and memory are read
	Sockets  int           // open at once
	Size     int           // bytes of payload in a message, 65,535 at most
	Warmup   time.Duration // runs before the measured time
	Duration time.Duration // measured; for idle: how long memory may settle
}

// Result is what a Plan has shown.
type Result struct {
	Trips  float64       // ping-pong: round trips a second
	CPU    time.Duration // ping-pong: the balancer's processor time for one
	Memory float64       // idle: bytes of the balancer's memory for a socket
}

// patience bounds the opening of a socket, and an echo.
const patience = 30 * time.Second

// PingPong keeps one message under way on every socket.
func PingPong(ctx context.Context, p Plan) (r Result, err error) {
	sockets, err := open(ctx, p)
	defer closeAll(sockets)
	if err != nil {
		return r, err
	}
	var trips atomic.Int64
	done := make(chan error, len(sockets))
	var stop atomic.Bool
	for _, s := range sockets {
		go func() {
			for !stop.Load() {
				if err := s.trip(); err != nil {
					done <- err
					return
				}
				trips.Add(1)
			}
			done <- nil
		}()
	}
	err = sleep(ctx, p.Warmup)
	from, before := trips.Load(), usage.Usage{}
	if err == nil {
		before, err = usage.Read(p.Pid)
	}
	if err == nil {
		err = sleep(ctx, p.Duration)
	}
	n := trips.Load() - from
	after, readErr := usage.Read(p.Pid)
	stop.Store(true)
	for range sockets {
		err = errors.Join(err, <-done)
	}
	if err = errors.Join(err, readErr); err != nil || n == 0 {
		return r, err
	}
	r.Trips = float64(n) / after.At.Sub(before.At).Seconds()
	r.CPU = (after.CPU - before.CPU) / time.Duration(n)
	return r, nil
}

// Idle opens sockets, uses each once, and reads the balancer's memory. It is a
// figure of a balancer that has just been started.
func Idle(ctx context.Context, p Plan) (r Result, err error) {
	before, err := usage.Read(p.Pid)
	if err != nil {
		return r, err
	}
	sockets, err := open(ctx, p)
	defer closeAll(sockets)
	for _, s := range sockets {
		err = errors.Join(err, s.trip())
	}
	if err == nil {
		err = sleep(ctx, p.Duration)
	}
	after, readErr := usage.Read(p.Pid)
	for _, s := range sockets {
		err = errors.Join(err, s.trip()) // each is still there
	}
	r.Memory = float64(after.Memory-before.Memory) / float64(len(sockets))
	return r, errors.Join(err, readErr)
}

// socket is one WebSocket with a message and room for its echo.
type socket struct {
	net.Conn
	message, echo, want []byte
}

// open opens all sockets, sixteen at a time. It returns those that did open.
func open(ctx context.Context, p Plan) (all []*socket, err error) {
	var mu sync.Mutex // guards all, err
	var opening sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i := range p.Sockets {
		slots <- struct{}{}
		opening.Go(func() {
			defer func() { <-slots }()
			s, e := dial(ctx, p, i)
			mu.Lock()
			defer mu.Unlock()
			if e != nil {
				err = e
				return
			}
			all = append(all, s)
		})
	}
	opening.Wait()
	return all, err
}

func closeAll(sockets []*socket) {
	for _, s := range sockets {
		_ = s.Close()
	}
}

// dial opens the i-th socket, from one of 32 addresses on the loopback.
func dial(ctx context.Context, p Plan, i int) (*socket, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var d net.Dialer
	if host, _, err := net.SplitHostPort(p.Target); err == nil && net.ParseIP(host).IsLoopback() && net.ParseIP(host).To4() != nil {
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%32))}
	}
	tcp, err := d.DialContext(ctx, "tcp", p.Target)
	if err != nil {
		return nil, err
	}
	c := tls.Client(tcp, &tls.Config{InsecureSkipVerify: true, DynamicRecordSizingDisabled: true}) // #nosec G402 -- what is measured is ours
	_ = c.SetDeadline(time.Now().Add(patience))
	var key [16]byte
	_, _ = rand.Read(key[:])
	_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+p.Target+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "+
		base64.StdEncoding.EncodeToString(key[:])+"\r\n\r\n")
	if err == nil {
		var resp *http.Response
		if resp, err = http.ReadResponse(bufio.NewReaderSize(c, 512), nil); err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
			err = fmt.Errorf("open WebSocket at %s: status %d", p.Target, resp.StatusCode)
		}
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	_ = c.SetDeadline(time.Time{})
	s := &socket{Conn: c}
	s.message, s.want = frames(p.Size)
	s.echo = make([]byte, len(s.want))
	return s, nil
}

// frames returns a binary message of size bytes, masked with zeroes, and its
// echo.
func frames(size int) (message, echo []byte) {
	head := []byte{0x82, byte(size)} // #nosec G115 -- below 126 here
	if size > 125 {
		head = binary.BigEndian.AppendUint16([]byte{0x82, 126}, uint16(size)) // #nosec G115 -- see Plan
	}
	payload := bytes.Repeat([]byte{'x'}, size)
	echo = append(bytes.Clone(head), payload...)
	head[1] |= 0x80
	return append(append(head, 0, 0, 0, 0), payload...), echo
}

// trip sends the message and compares the echo.
func (s *socket) trip() error {
	if _, err := s.Write(s.message); err != nil {
		return err
	}
	if _, err := io.ReadFull(s, s.echo); err != nil {
		return err
	}
	if !bytes.Equal(s.echo, s.want) {
		return errors.New("read echo: other bytes came back")
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
