package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"

	"github.com/holdfast-lb/holdfast/admin"
	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/drain"
	"github.com/holdfast-lb/holdfast/internal/handoff"
	"github.com/holdfast-lb/holdfast/relay"
)

// idsApart is how many numbers of sockets are left to the predecessor, which
// goes on numbering while the successor begins.
const idsApart = 1 << 20

// inheritance is what a predecessor leaves to this process. A nil one is that of
// a process that has none.
type inheritance struct {
	channel   *handoff.Conn
	hello     hello
	listeners map[string]*os.File // by address
	admin     map[string]*os.File // the same
	tables    []*balancer.TableChunk
	ready     bool        // the predecessor has been told how it is
	receiving atomic.Bool // sockets may still come
}

// inherit hears what there is from the process that has started this one, if it
// did so for an upgrade.
func inherit() (*inheritance, error) {
	text, named := os.LookupEnv(upgradeVariable)
	if !named {
		return nil, nil
	}
	_ = os.Unsetenv(upgradeVariable)
	fd, err := strconv.Atoi(text)
	if err != nil || fd <= 2 {
		return nil, fmt.Errorf("%s is %q, which is for a process that an upgrade starts: unset it", upgradeVariable, text)
	}
	channel, err := handoff.Open(fd)
	if err != nil {
		return nil, fmt.Errorf("%s, which is for a process that an upgrade starts: %w", upgradeVariable, err)
	}
	in := &inheritance{channel: channel, listeners: map[string]*os.File{}, admin: map[string]*os.File{}}
	in.receiving.Store(true)
	for {
		f, err := channel.Receive()
		if err == nil && f.Kind == wordStart {
			return in, nil
		}
		if err == nil {
			err = in.take(f)
			f.Close()
		}
		if err != nil {
			in.fail(err)
			return nil, fmt.Errorf("hear from the process before this one: %w", err)
		}
	}
}

// take takes one word before wordStart. What is not known is for another
// version.
func (in *inheritance) take(f *handoff.Frame) error {
	switch f.Kind {
	case wordHello:
		return f.Decode(&in.hello)
	case wordTable:
		var c balancer.TableChunk
		in.tables = append(in.tables, &c)
		return f.Decode(&c)
	case wordListener:
		var l listening
		if err := f.Decode(&l); err != nil {
			return err
		}
		if len(f.Descriptors) != 1 {
			return fmt.Errorf("the listener of %s comes with %d sockets", l.Address, len(f.Descriptors))
		}
		to := in.listeners
		if l.Admin {
			to = in.admin
		}
		to[l.Address] = os.NewFile(uintptr(f.Take()[0]), l.Address) // #nosec G115 -- a descriptor
	}
	return nil
}

// fail tells the predecessor why this process does not take its place, unless it
// has heard of it already.
func (in *inheritance) fail(err error) {
	if in == nil || err == nil || in.ready {
		return
	}
	in.ready = true
	_ = in.channel.Send(wordFailed, failed{mistakesOf(err)})
	in.channel.Close()
	in.close()
}

// close closes the listening sockets that nobody has taken.
func (in *inheritance) close() {
	for _, all := range []map[string]*os.File{in.listeners, in.admin} {
		for address, f := range all {
			_ = f.Close() // a second time for those of a listener.Set, which changes nothing
			delete(all, address)
		}
	}
}

// give has registry know what the predecessor's did, and returns what other
// parts begin with.
func (in *inheritance) give(registry *balancer.Registry) (socketRun string, keySecret []byte, listeners map[string]*os.File, err error) {
	if in == nil {
		return "", nil, nil, nil
	}
	if in.hello.Registry != nil {
		if err := registry.Inherit(in.hello.Registry); err != nil {
			return "", nil, nil, err
		}
	}
	for _, c := range in.tables {
		if err := registry.InheritTable(c); err != nil {
			return "", nil, nil, err
		}
	}
	in.tables, in.hello.Registry = nil, nil
	relay.ContinueIDs(in.hello.Socket + idsApart)
	return in.hello.Run, in.hello.KeySecret, in.listeners, nil
}

// receives tells whether sockets may still come.
func (in *inheritance) receives() bool { return in != nil && in.receiving.Load() }

// listenAdmin binds the admin address, or takes it over.
func (in *inheritance) listenAdmin(address string) (net.Listener, error) {
	if in != nil {
		if f := in.admin[address]; f != nil {
			return net.FileListener(f)
		}
	}
	return net.Listen("tcp", address)
}

// misses says what a successor would lose by taking over now: pools whose
// backends were found, and are not found by this process.
func (in *inheritance) misses(full *config.Config) error {
	if in == nil {
		return nil
	}
	var errs []error
	for name, n := range in.hello.Discovered {
		p, stays := full.Pools[name]
		if stays && p.Discovery != nil && n > 0 && len(p.Backends) == 0 {
			errs = append(errs, fmt.Errorf("pool %q finds no backend, and the process before this one has %d: see that the source of its discovery answers", name, n))
		}
	}
	return errors.Join(errs...)
}

// succeed tells the predecessor that this process serves, and has what it hands
// over received, in the background. On error there is no predecessor any more,
// or it goes on by itself: then this process is to end.
func (a *app) succeed(began func()) error {
	in := a.inheritance
	if in == nil {
		began()
		return nil
	}
	in.close()
	if err := in.channel.Send(wordReady, ready{version()}); err != nil {
		return fmt.Errorf("tell the process before this one that this one is ready: %w", err)
	}
	in.ready = true
	// If it has died this process goes on alone; if it has called the upgrade
	// off it ends this process too.
	if _, err := in.channel.Receive(); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("hear from the process before this one: %w", err)
	}
	began()
	a.listeners.UnlinkAtEnd(true)
	a.events.Publish(admin.Event{Kind: "upgrade", Level: admin.Info, State: "succeeded",
		Message: "this process has taken over from " + in.hello.Version})
	a.retiring.Go(func() {
		defer in.receiving.Store(false)
		a.receive(in)
	})
	// stop waits for that. What is taken is said, lest two processes have a socket.
	go func() {
		<-a.ending
		in.channel.StopReceiving()
	}()
	return nil
}

// receive takes sockets from the predecessor until it has no more, or the
// channel ends.
func (a *app) receive(in *inheritance) {
	defer in.channel.Close()
	got, refused := 0, 0
	var why error // the last refusal
	var last done
	for {
		f, err := in.channel.Receive()
		switch {
		case errors.Is(err, handoff.ErrDescriptors):
			why = err
			err = in.channel.Send(wordTaken, taken{None: true})
		case err == nil && f.Kind == wordSockets:
			var t taken
			if t, err = a.takeSockets(f, &why); err == nil {
				err = in.channel.Send(wordTaken, t)
			}
			for _, no := range t.Refused {
				if no {
					refused++
				} else {
					got++
				}
			}
		case err == nil && f.Kind == wordTable:
			var c balancer.TableChunk
			if err = f.Decode(&c); err == nil {
				err = a.registry.InheritTable(&c)
			}
			f.Close()
		case err == nil && f.Kind == wordDone:
			if err = f.Decode(&last); err == nil {
				err = io.EOF
			}
			f.Close()
		case err == nil:
			f.Close() // a word of another version
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded) { // that is stop
			a.log.Warn("the channel to the process before this one broke", "error", err)
		}
		a.onCommand(func() { a.inheritDrains(last.Drains) })
		a.log.Info("sockets taken over", "sockets", got, "refused", refused)
		if why != nil {
			a.log.Warn("sockets stay with the process before this one, which drains them", "last", why)
		}
		return
	}
}

// takeSockets goes on with the sockets of a frame. why becomes the last refusal.
func (a *app) takeSockets(f *handoff.Frame, why *error) (t taken, err error) {
	var list sockets
	if err = f.Decode(&list); err == nil && len(f.Descriptors) != 2*len(list) {
		err = fmt.Errorf("%d sockets come with %d descriptors", len(list), len(f.Descriptors))
	}
	if err != nil {
		f.Close()
		return t, err
	}
	fds := f.Take()
	t.Refused = make([]bool, len(list))
	for i := range list {
		client, backend := fds[2*i], fds[2*i+1]
		if err := a.proxy.Receive(&list[i], client, backend); err != nil {
			t.Refused[i] = true
			*why = err
			_, _ = syscall.Close(client), syscall.Close(backend)
		}
	}
	return t, nil
}

// inheritDrains goes on with drains of the predecessor. Those of which it has said
// nothing, as it may have died, begin anew.
func (a *app) inheritDrains(all []drain.Carried) {
	backends := map[balancer.Key]balancer.BackendStatus{}
	for _, b := range a.registry.Snapshot() {
		backends[b.Key()] = b
	}
	drains := func(b balancer.BackendStatus) bool { return b.Mode == balancer.Drain || b.AsksDrain() }
	for _, d := range all {
		if b, known := backends[d.Key]; known && drains(b) {
			a.drainer.Resume(d, a.drainPolicy(d.Pool))
		}
	}
	for key, b := range backends {
		if _, begun := a.drainer.Of(key); !begun && !b.Retired && b.Sockets > 0 && drains(b) {
			a.startDrain(key, b.Name, a.drainPolicy(b.Pool), 0)
		}
	}
}
