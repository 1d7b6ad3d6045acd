package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast/bench/usage"
)

// emptyWithin is how long sockets of a backend that is to be emptied may go
// on: the same for every peer that can be told.
const emptyWithin = 2 * time.Second

// EmptyWithin is emptyWithin, for the templates.
func (s Setup) EmptyWithin() time.Duration { return emptyWithin }

// Means says what a peer offers to take a backend away while sockets talk, and
// whether that ends sockets at all.
func Means(name string) (means string, ends bool) { return known[name].means, !known[name].keeps }

// Empty takes the first backend away, by the best means that the balancer has:
// nothing new for it, and its sockets gone 2 s later. It blocks until the last
// order is given. The balancer was set up with Drains.
func (p *Process) Empty(ctx context.Context) error {
	empty := known[p.name].empty
	if empty == nil {
		empty = emptyByReload
	}
	if err := empty(ctx, p); err != nil {
		return fmt.Errorf("empty backend of %s: %w", p.name, err)
	}
	return nil
}

func emptyHoldfast(ctx context.Context, p *Process) error {
	url := "http://" + p.setup.Admin + "/api/v1/pools/arena/backends/arena-0/drain"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s", url, resp.Status, body)
	}
	return nil
}

func emptyHAProxy(ctx context.Context, p *Process) error {
	if err := p.tellHAProxy(ctx, "set server arena/arena-0 state drain"); err != nil {
		return err
	}
	select {
	case <-time.After(emptyWithin):
	case <-ctx.Done():
		return ctx.Err()
	}
	return p.tellHAProxy(ctx, "shutdown sessions server arena/arena-0")
}

// tellHAProxy gives an order at the runtime API, which is silent when it obeys.
func (p *Process) tellHAProxy(ctx context.Context, order string) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", filepath.Join(p.setup.Dir, "haproxy.sock"))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, order+"\n"); err != nil {
		return err
	}
	said, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	if text := strings.TrimSpace(string(said)); text != "" {
		return fmt.Errorf("%s: %s", order, text)
	}
	return nil
}

// emptyByReload removes the backend from the configuration.
func emptyByReload(ctx context.Context, p *Process) error {
	p.setup.Backends = p.setup.Backends[1:]
	return p.Reload(ctx)
}

// Workers are the balancer's processes at the moment, but for the first.
func (p *Process) Workers() []int {
	tree, _ := usage.Tree(p.PID())
	return tree[min(1, len(tree)):]
}
