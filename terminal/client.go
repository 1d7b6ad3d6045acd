package terminal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast/admin"
)

// maxBody bounds what is read of an answer: a page of sockets has some hundred
// KiB, a large configuration a few MiB.
const maxBody = 64 << 20

// patience is how long an answer may take that needs no work.
const patience = 10 * time.Second

// client speaks to one admin address.
type client struct {
	base     *url.URL
	token    string
	http     *http.Client
	patience time.Duration // a field so that tests need not wait
}

// newClient takes HOST:PORT, or a URL for an admin address behind something
// that speaks TLS.
func newClient(address, token string) (*client, error) {
	if !strings.Contains(address, "://") {
		if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
			return nil, fmt.Errorf("--admin %q has no port, write HOST:PORT such as 127.0.0.1:9090, or https://HOST", address)
		}
		address = "http://" + address
	}
	base, err := url.Parse(address)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" || strings.Trim(base.Path, "/") != "" {
		return nil, fmt.Errorf("--admin %q is no address, write HOST:PORT or https://HOST:PORT", address)
	}
	base.Path = ""
	return &client{base: base, token: token, patience: patience, http: &http.Client{
		// No proxy: it would see the token.
		Transport: &http.Transport{MaxIdleConns: 2, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}}, nil
}

// refusal is an answer that says no.
type refusal struct {
	status int
	admin.Problem
	admin.Outcome // of a reload
	body          []byte
}

func (r *refusal) Error() string {
	if r.status == http.StatusUnauthorized {
		return r.Message + ": use --token, or HOLDFAST_ADMIN_TOKEN"
	}
	return r.Problem.Error()
}

// stranger is the error for an answer that no admin address gives. how is how
// the one at host answers.
func stranger(host, how string, body []byte) error {
	const remedy = "write the configuration's admin.address: --admin HOST:PORT"
	if codes.Match(body) {
		return fmt.Errorf("%s is a listener of Holdfast's and not its admin address, %s", host, remedy)
	}
	return fmt.Errorf("%s is not the admin address of a Holdfast, it answers %s: %s", host, how, remedy)
}

// do sends a request and decodes the answer into to, unless that is nil. The
// segments of the path are escaped here. It waits for as long as ctx lets it.
func (c *client) do(ctx context.Context, method string, query url.Values, body io.Reader, to any, segments ...string) error {
	u := *c.base
	escaped := make([]string, len(segments))
	for i, s := range segments {
		escaped[i] = url.PathEscape(s)
	}
	u.Path, u.RawPath = "/api/v1/"+strings.Join(segments, "/"), "/api/v1/"+strings.Join(escaped, "/")
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		switch {
		case errors.Is(ctx.Err(), context.Canceled):
			return ctx.Err()
		case ctx.Err() != nil:
			return fmt.Errorf("ask Holdfast at %s: no answer within %s; try again if it is reloading, else see whether that is its admin.address", c.base.Host, c.patience)
		}
		return fmt.Errorf("ask Holdfast at %s: %w; is it running, and is that its admin.address?", c.base.Host, reason(err))
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return fmt.Errorf("read answer of %s: %w", c.base.Host, err)
	}
	if resp.StatusCode >= 300 {
		r := &refusal{status: resp.StatusCode, body: data}
		if json.Unmarshal(data, r) != nil || r.Message == "" || r.Code == "" {
			return stranger(c.base.Host, strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))), data)
		}
		tame(reflect.ValueOf(r))
		return r
	}
	if to == nil {
		return nil
	}
	if json.Unmarshal(data, to) != nil {
		return stranger(c.base.Host, "something else than is asked for", data)
	}
	tame(reflect.ValueOf(to))
	return nil
}

// reason drops the method and the URL from an error of net/http.
func reason(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func (c *client) get(ctx context.Context, query url.Values, to any, segments ...string) error {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	return c.do(ctx, http.MethodGet, query, nil, to, segments...)
}

// history returns the samples that are younger than after, in milliseconds of
// Unix time.
func (c *client) history(ctx context.Context, after int64) ([]admin.Sample, error) {
	var answer struct{ Samples []admin.Sample }
	err := c.get(ctx, url.Values{"after": {strconv.FormatInt(after, 10)}}, &answer, "history")
	return answer.Samples, err
}

func (c *client) pools(ctx context.Context) ([]admin.Pool, error) {
	var answer struct{ Pools []admin.Pool }
	err := c.get(ctx, nil, &answer, "pools")
	return answer.Pools, err
}

func (c *client) status(ctx context.Context) (s admin.Status, err error) {
	err = c.get(ctx, nil, &s, "status")
	return s, err
}

// order posts what is to become of a target.
func (c *client) order(ctx context.Context, t target, what string, query url.Values) error {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	if t.backend == "" {
		return c.do(ctx, http.MethodPost, query, nil, nil, "pools", t.pool, what)
	}
	return c.do(ctx, http.MethodPost, query, nil, nil, "pools", t.pool, "backends", t.backend, what)
}
