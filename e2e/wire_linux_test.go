package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// ownNetwork is the environment variable that tells the test binary that it
// has a network and mounts of its own, and which program to test.
const ownNetwork = "E2E_NETWORK"

// apart runs the calling test again, in a process with a network and mounts of
// its own: what it does to them is seen by nobody else, and gone with it.
func apart(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a network of its own needs root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs the program ip (Debian: iproute2)")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skip("needs /dev/net/tun: ", err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=3m", "-test.parallel=8")
	cmd.Env = append(os.Environ(), ownNetwork+"="+program)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	switch {
	case strings.Contains(fmt.Sprint(err), "operation not permitted"):
		t.Skip("a network of its own is not permitted here: ", err)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	default:
		t.Logf("%s", out)
	}
}

// ip runs the program ip in the network of the calling thread.
func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// wire joins this network with that of a backend, packet by packet.
type wire struct {
	loss   atomic.Int32 // percent
	count  atomic.Int32 // packets
	delay  atomic.Int64 // nanoseconds, each way
	lost   atomic.Int64 // packets
	resets atomic.Int64 // of those
	ends   [2]*os.File
	all    sync.WaitGroup
}

// set has packets take delay each way, and loses so many in a hundred.
func (w *wire) set(delay time.Duration, percent int32) {
	w.delay.Store(int64(delay))
	w.loss.Store(percent)
}

// packet arrives at its time.
type packet struct {
	at   time.Time
	data []byte
}

// carry takes packets from one end to the other until both are closed.
func (w *wire) carry(from, to *os.File) {
	under := make(chan packet, 4096)
	w.all.Go(func() {
		defer close(under)
		b := make([]byte, 64<<10)
		for {
			n, err := from.Read(b)
			if err != nil {
				return
			}
			// Evenly, so that luck does not lose one packet again and again.
			if loss := w.loss.Load(); w.count.Add(1)*loss%100 < loss {
				if isReset(b[:n]) {
					w.resets.Add(1)
				}
				w.lost.Add(1)
				continue
			}
			under <- packet{time.Now().Add(time.Duration(w.delay.Load())), append([]byte(nil), b[:n]...)}
		}
	})
	w.all.Go(func() {
		for p := range under {
			time.Sleep(time.Until(p.at))
			_, _ = to.Write(p.data)
		}
	})
}

// isReset tells whether a packet of IPv4 is a TCP reset.
func isReset(b []byte) bool {
	if len(b) < 20 || b[0]>>4 != 4 || b[9] != syscall.IPPROTO_TCP {
		return false
	}
	flags := int(b[0]&15)*4 + 13
	return flags < len(b) && b[flags]&4 != 0
}

// plug makes an end of a wire in the network of the calling thread.
func plug(name, address string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err == nil {
		err = ip("addr", "add", address+"/24", "dev", name)
	}
	if err == nil {
		err = ip("link", "set", name, "up")
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// host is a backend at the other end of a wire, which echoes.
type host struct {
	net.Listener
	addr string
	wire *wire

	mu    sync.Mutex
	conns []net.Conn // guarded by mu
}

// Accept implements [net.Listener].
func (h *host) Accept() (net.Conn, error) {
	c, err := h.Listener.Accept()
	if err == nil {
		h.mu.Lock()
		h.conns = append(h.conns, c)
		h.mu.Unlock()
	}
	return c, err
}

// crash makes h forget its connections. What that says to the others goes over
// the wire, or is lost there.
func (h *host) crash() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.conns {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
	h.conns = nil
}

var hosts atomic.Int32

// startHost starts a host in a network of its own, behind a wire of its own.
func startHost(t *testing.T) *host {
	t.Helper()
	n := hosts.Add(1)
	h := &host{addr: fmt.Sprintf("10.77.%d.2:9000", n), wire: &wire{}}
	near, err := plug(fmt.Sprintf("near%d", n), fmt.Sprintf("10.77.%d.1", n))
	if err != nil {
		t.Fatal(err)
	}
	h.wire.ends[0] = near
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this
		made <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("make a network: %w", err)
			}
			if h.wire.ends[1], err = plug("far", fmt.Sprintf("10.77.%d.2", n)); err != nil {
				return err
			}
			h.Listener, err = net.Listen("tcp", h.addr)
			return err
		}()
	}()
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	h.wire.carry(h.wire.ends[0], h.wire.ends[1])
	h.wire.carry(h.wire.ends[1], h.wire.ends[0])
	echo := testkit.Echo()
	served := make(chan error)
	go func() { served <- fasthttp.Serve(h, echo) }()
	t.Cleanup(func() {
		_ = h.Close()
		h.crash()
		<-served
		for _, end := range h.wire.ends {
			_ = end.Close()
		}
		h.wire.all.Wait()
	})
	return h
}
