package e2e

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// front is where strangers reach a process.
type front struct{ web, secure, announced string }

// attack is what strangers do until ctx ends.
type attack struct {
	name string
	run  func(ctx context.Context, f front)
}

// What opens a WebSocket, and a Close behind it.
var (
	opens        = testkit.HandshakeRequest("127.0.0.1", "/")
	opensAndEnds = opens + "\x88\x80\x00\x00\x00\x00"
)

// attackName is the environment variable that makes the test binary an attacker
// on the addresses in attackedFront.
const (
	attackName    = "HOLDFAST_E2E_ATTACK"
	attackedFront = "HOLDFAST_E2E_FRONT"
)

func isAttacker() bool { return os.Getenv(attackName) != "" }

// runAttacker attacks until its standard input ends.
func runAttacker() {
	f := strings.Split(os.Getenv(attackedFront), ",")
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	for _, a := range slices.Concat(exhaustions, floods, frameFloods) {
		if a.name == os.Getenv(attackName) {
			fmt.Println("begins")
			a.run(ctx, front{f[0], f[1], f[2]})
			return
		}
	}
	fmt.Fprintln(os.Stderr, "attacker: unknown attack", os.Getenv(attackName))
	os.Exit(1)
}

var niceness = flag.Int("nice", 19, "the attackers' priority in the long form: 19, the lowest, to 0, that of all others")

// suffer has the front attacked from when it returns until end is called: in the
// long form from a process of its own that takes no more of this machine than
// the others leave, since strangers bring machines of their own.
func (f front) suffer(t *testing.T, a attack) (end func()) {
	t.Helper()
	if !*long {
		ctx, cancel := context.WithCancel(t.Context())
		var attacking sync.WaitGroup
		attacking.Go(func() { a.run(ctx, f) })
		return func() {
			cancel()
			attacking.Wait()
		}
	}
	cmd := exec.Command(os.Args[0])
	if nice, err := exec.LookPath("nice"); err == nil {
		cmd = exec.Command(nice, "-n", strconv.Itoa(*niceness), os.Args[0])
	}
	cmd.Env = append(os.Environ(), attackName+"="+a.name, attackedFront+"="+strings.Join([]string{f.web, f.secure, f.announced}, ","))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	var stdout io.Reader
	if err == nil {
		stdout, err = cmd.StdoutPipe()
	}
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = stdout.Read(make([]byte, 1)) // it begins
	}
	if err != nil {
		t.Fatalf("start attacker: %v", err)
	}
	return func() {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: the attacker has failed: %v", a.name, err)
		}
	}
}

// attacker is where attacks come from: another address than the well-behaved
// clients have, so that limits per address tell them apart.
const attacker = "127.0.0.2"

// hold keeps n connections of the attacker busy with f until ctx ends. A
// connection that is refused or closed is made anew.
func hold(ctx context.Context, addr string, n int, f func(context.Context, net.Conn)) {
	holdFrom(ctx, func() net.IP { return net.ParseIP(attacker) }, addr, n, f)
}

// holdFrom is hold for attackers that choose an address for each connection.
func holdFrom(ctx context.Context, source func() net.IP, addr string, n int, f func(context.Context, net.Conn)) {
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for ctx.Err() == nil {
				dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: source()}, Timeout: time.Second}
				c, err := dialer.DialContext(ctx, "tcp", addr)
				if err != nil {
					pauseFor(ctx, 50*time.Millisecond)
					continue
				}
				closing := context.AfterFunc(ctx, func() { c.Close() })
				f(ctx, c)
				closing()
				c.Close()
				pauseFor(ctx, 50*time.Millisecond)
			}
		})
	}
	all.Wait()
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// drip sends head at once and then one byte of what again and again.
func drip(head, what string) func(context.Context, net.Conn) {
	return func(ctx context.Context, c net.Conn) {
		_, err := io.WriteString(c, head)
		for i := 0; err == nil && ctx.Err() == nil; i++ {
			pauseFor(ctx, 50*time.Millisecond)
			_, err = c.Write([]byte{what[i%len(what)]})
		}
	}
}

// says sends what and reads until the other side closes.
func says(what string) func(context.Context, net.Conn) {
	return func(_ context.Context, c net.Conn) {
		_, _ = io.WriteString(c, what)
		_, _ = io.Copy(io.Discard, c)
	}
}

// garbage sends random bytes behind prefix.
func garbage(prefix string) func(context.Context, net.Conn) {
	return func(ctx context.Context, c net.Conn) {
		b := []byte(prefix)
		for range 512 {
			b = append(b, byte(rand.Uint32())) // #nosec G404
		}
		says(string(b))(ctx, c)
	}
}

// clientHello is how a TLS connection begins.
func clientHello() string {
	client, server := net.Pipe()
	defer server.Close()
	go func() { _ = tls.Client(client, &tls.Config{InsecureSkipVerify: true}).Handshake() }()
	b := make([]byte, 4<<10)
	n, _ := server.Read(b)
	return string(b[:n])
}

// shakes does a whole handshake, and goes.
func shakes(ctx context.Context, c net.Conn) {
	_ = tls.Client(c, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx)
}

// types has openssl connect again and again, and type a command as often as it
// is let.
func types(ctx context.Context, addr, version, command string) {
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				cmd := exec.CommandContext(ctx, "openssl", "s_client", "-connect", addr, version)
				in, err := cmd.StdinPipe()
				if err != nil || cmd.Start() != nil {
					return
				}
				for err == nil && ctx.Err() == nil {
					_, err = io.WriteString(in, command)
					pauseFor(ctx, time.Millisecond)
				}
				_ = in.Close()
				_ = cmd.Wait()
			}
		})
	}
	all.Wait()
}
