// Package fill makes a balancer remember many sticky keys, the way clients do:
// by a request with each.
package fill

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	connections = 8
	batch       = 128             // requests that are sent before their answers are read
	patience    = 2 * time.Minute // for all of them
)

// Path is the request's path and query for a key, from 1.
func Path(key int) string { return fmt.Sprintf("/?room=%d", key) }

// Fill sends a GET for each key from 1 to n to target, which is host:port, over
// a few kept-alive connections, pipelined. It returns when all are answered
// with 200.
func Fill(ctx context.Context, target string, n int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	errs := make([]error, connections)
	var work sync.WaitGroup
	for i := range connections {
		work.Go(func() {
			if errs[i] = part(ctx, target, n*i/connections+1, n*(i+1)/connections); errs[i] != nil {
				cancel()
			}
		})
	}
	work.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("fill in %d sticky keys: %w", n, err)
	}
	return nil
}

// part sends the keys from first to last.
func part(ctx context.Context, target string, first, last int) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", target)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	in, out := bufio.NewReader(c), bufio.NewWriter(c)
	for key := first; key <= last; key += batch {
		n := min(batch, last-key+1)
		for i := range n {
			if _, err := fmt.Fprintf(out, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", Path(key+i), target); err != nil {
				return err
			}
		}
		if err := out.Flush(); err != nil {
			return err
		}
		for range n {
			if err := answer(in); err != nil {
				return err
			}
		}
	}
	return nil
}

func answer(in *bufio.Reader) error {
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", resp.Status)
	}
	return nil
}
