package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// namespace makes a network namespace with a link to this one: 10.231.77.1
// here, 10.231.77.2 there. It needs root.
func namespace(t *testing.T) (name string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs the program ip: ", err)
	}
	name = fmt.Sprintf("holdfast-%d", os.Getpid())
	ip := func(args ...string) error {
		out, err := exec.Command("ip", args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %v: %w: %s", args, err, out)
		}
		return nil
	}
	here := fmt.Sprintf("hf%d", os.Getpid()%1e6)
	if err := ip("netns", "add", name); err != nil {
		t.Skip("no network namespaces here: ", err)
	}
	t.Cleanup(func() { _ = ip("netns", "del", name) })
	err := errors.Join(
		ip("link", "add", here, "type", "veth", "peer", "name", "inner", "netns", name),
		ip("addr", "add", "10.231.77.1/30", "dev", here),
		ip("link", "set", here, "up"),
		ip("-n", name, "addr", "add", "10.231.77.2/30", "dev", "inner"),
		ip("-n", name, "link", "set", "inner", "up"))
	if err != nil {
		t.Skip("no link between network namespaces here: ", err)
	}
	t.Cleanup(func() { _ = ip("link", "del", here) })
	return name
}

// dialFrom dials from within a network namespace. The thread that was in it
// ends with its goroutine.
func dialFrom(name, addr string) (c net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked
		f, e := os.Open("/var/run/netns/" + name)
		if e != nil {
			err = e
			return
		}
		defer f.Close()
		const newNet = 0x40000000
		if _, _, errno := syscall.RawSyscall(setns, f.Fd(), newNet, 0); errno != 0 {
			err = errno
			return
		}
		c, err = net.DialTimeout("tcp", addr, 5*time.Second)
	}()
	<-done
	return c, err
}

// setns is the number of that system call.
var setns = map[string]uintptr{"amd64": 308, "arm64": 268}[runtime.GOARCH]

// A client whose network vanishes, with data on its way to it or without, is
// found within two intervals, and the backend is told; and one that nobody reads
// at that time, since its backend takes nothing.
func TestVanishedNetwork(t *testing.T) {
	const every = time.Second
	name := namespace(t)
	r := rig{}
	var err error
	if r.Relay, err = New(Options{Loops: 1}); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	front, err := net.Listen("tcp", "10.231.77.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	var unread joined
	var js []joined
	for i := range 3 {
		accepted := make(chan net.Conn, 1)
		go func() {
			if c, err := front.Accept(); err == nil {
				accepted <- c
			}
		}()
		c, err := dialFrom(name, front.Addr().String())
		if err != nil {
			t.Skip("cannot dial from the namespace: ", err)
		}
		defer c.Close()
		a := within(t, "accept", accepted)
		at := place{fd: descriptor(a)}
		_ = a.Close()
		l := listen(t)
		b := r.backend(t, l)
		o := newOwner()
		k := r.call(at, addr(l), o)
		k.Ping = every
		if err := r.Open(k); err != nil {
			t.Fatal(err)
		}
		bc := within(t, "backend", b)
		defer bc.Close()
		send(t, bc, []byte(switching))
		expect(t, c, switching)
		within(t, "Opened", o.opened)
		j := joined{&peer{Conn: c, tcp: c.(*net.TCPConn)}, bc, o}
		if i == 0 { // it is not read from now on
			unread = j
			r.flood(t, j.client, Client)
		} else {
			js = append(js, j)
		}
	}
	if out, err := exec.Command("ip", "-n", name, "link", "set", "inner", "down").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	began := time.Now()
	// The second backend has much to say, more than buffers hold.
	go func() {
		for chunk := appendFrame(nil, opBinary, false, make([]byte, 64<<10)); ; {
			if _, err := js[1].backend.Write(chunk); err != nil {
				return
			}
		}
	}()
	var all sync.WaitGroup
	for i, j := range js {
		all.Go(func() {
			f, err := readFrame(j.backend)
			took := time.Since(began)
			t.Logf("client %d was missed after %v, intervals are %v", i, took, every)
			if want := string(binary.BigEndian.AppendUint16(nil, 1001)) + ClientSilent; err != nil || f.op != 0x88 || f.payload != want || !f.masked {
				t.Errorf("backend %d read %+v (%v), want Close %q", i, f, err, want)
			}
			if took > 2*every+3*time.Second { // three for a busy machine
				t.Errorf("client %d was missed after %v, two intervals are %v", i, took, 2*every)
			}
		})
	}
	all.Wait()
	for _, j := range append(js, unread) {
		s := within(t, "Closed", j.owner.closed)
		if took := time.Since(began); took > 2*every+lastWords+3*time.Second {
			t.Errorf("a pair ended after %v", took)
		}
		if s.Reason != ClientSilent || s.Ender != ByHoldfast {
			t.Errorf("summary %+v", s)
		}
	}
}
