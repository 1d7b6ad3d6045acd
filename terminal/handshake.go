package terminal

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/holdfast-lb/holdfast/admin"
	"github.com/holdfast-lb/holdfast/internal/cause"
	"github.com/holdfast-lb/holdfast/internal/explain"
)

// shown are the fields of an answer that tell something about its way, besides
// the backend's.
var shown = []string{
	"Sec-Websocket-Protocol", "Sec-Websocket-Extensions", "Server", "Via", "X-Request-Id",
	"Location", "Www-Authenticate", "Retry-After", "Allow", "Sec-Websocket-Version",
}

func (t *trial) printHandshake(resp *http.Response, took time.Duration) {
	fmt.Fprintf(t.out, "handshake  %s in %s (TCP %s%s)\n", resp.Status, milliseconds(took), milliseconds(t.tcp), t.layer())
	for _, name := range append([]string{t.backendHeader}, shown...) {
		for _, value := range resp.Header.Values(name) {
			fmt.Fprintf(t.out, "           %s: %s\n", http.CanonicalHeaderKey(name), value)
		}
	}
	for _, c := range resp.Cookies() { // their values are secrets
		fmt.Fprintf(t.out, "           Set-Cookie: %s=...\n", c.Name)
	}
	if len(t.subprotocols) > 0 && resp.Header.Get("Sec-WebSocket-Protocol") == "" {
		fmt.Fprintf(t.out, "           no subprotocol was chosen of %s\n", strings.Join(t.subprotocols, ", "))
	}
}

// layer describes TLS, if there is any.
func (t *trial) layer() string {
	if t.encryption == nil {
		return ""
	}
	whose := ""
	if certs := t.encryption.PeerCertificates; len(certs) > 0 {
		whose = fmt.Sprintf(", certificate until %s", certs[0].NotAfter.UTC().Format(time.DateOnly))
	}
	return fmt.Sprintf(", %s %s%s", tls.VersionName(t.encryption.Version), milliseconds(t.wrap), whose)
}

// printClose prints the Close frame of the other side.
func (t *trial) printClose(c *websocket.CloseError, when string) {
	reason := ""
	if c.Text != "" {
		reason = fmt.Sprintf(" %q", c.Text)
	}
	fmt.Fprintf(t.out, "close      %d%s %s\n", c.Code, reason, when)
}

var codes = regexp.MustCompile(`\bHF-\d{4}\b`)

// refused prints an answer that is no 101, and explains it if it is Holdfast's.
func (t *trial) refused(resp *http.Response, took time.Duration) error {
	t.printHandshake(resp, took)
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // what there is of it
	if text := strings.TrimSpace(string(body)); text != "" {
		fmt.Fprintf(t.out, "\n%s\n", text)
	}
	if page, found := explain.Find(codes.FindString(string(body))); found {
		fmt.Fprintf(t.out, "\n%s", page.Text())
		return fmt.Errorf("the handshake was refused with %d, %s: %s", resp.StatusCode, page.Code, page.Title)
	}
	return t.uncoded(resp)
}

// uncoded is refused for an answer without a code: what a route answers by
// itself has none either.
func (t *trial) uncoded(resp *http.Response) error {
	const whose = "it has no code of Holdfast's, so it is from the backend, from a route with respond or redirect, or from what is between"
	switch to, err := resp.Location(); {
	case resp.StatusCode == http.StatusSwitchingProtocols:
		return errors.New("the 101 is wrong: its Upgrade, Connection or Sec-WebSocket-Accept")
	case resp.StatusCode >= 300 && resp.StatusCode < 400 && err == nil:
		return fmt.Errorf("the handshake was answered with %d, a redirect, which browsers do not follow here: test %s; %s", resp.StatusCode, to, whose)
	}
	return fmt.Errorf("the handshake was answered with %d in place of 101: %s", resp.StatusCode, whose)
}

// advise puts the remedy to an error to connect.
func (t *trial) advise(err error) error {
	remedy := ""
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, misnamed := errors.AsType[x509.HostnameError](err)
	_, invalid := errors.AsType[x509.CertificateInvalidError](err)
	_, plain := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		remedy = "nothing listens there: is Holdfast running, and is that the address of a listener?"
	case plain:
		remedy = "the port speaks no TLS: use ws://, or give the listener tls"
	case unknown || misnamed || invalid:
		remedy = "--insecure believes it all the same"
	case t.url.Scheme == "ws" && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)):
		remedy = "the other side ended without an answer: does the port speak TLS? Use wss://"
	case cause.Timeout(err):
		remedy = "nobody answered in time: a firewall, a wrong address, or an overloaded server"
	default:
		return err
	}
	return fmt.Errorf("%w (%s)", err, remedy)
}

// backend says which backend has the socket, and how that is known.
func (t *trial) backend(ctx context.Context, resp *http.Response, c *client, before map[string]string) string {
	if name := resp.Header.Get(t.backendHeader); name != "" {
		return fmt.Sprintf("%s (by the field %s)", name, t.backendHeader)
	}
	if before == nil {
		return fmt.Sprintf("not known: the answer has no %s, and no admin address was reached (--admin) or there are too many sockets", t.backendHeader)
	}
	names := addedSockets(ctx, c, before)
	switch len(names) {
	case 0:
		return "not known: the Holdfast at the admin address has no new socket (is it another one?)"
	case 1:
		return names[0] + " (by the admin address: the only one with a new socket)"
	}
	return "one of " + strings.Join(names, ", ") + " (by the admin address: each has a new socket)"
}

// addedSockets returns the backends that have sockets which before has not. The
// ledger may hear of a socket a moment after its client does.
func addedSockets(ctx context.Context, c *client, before map[string]string) (names []string) {
	for deadline := time.Now().Add(time.Second); len(names) == 0 && time.Now().Before(deadline) && ctx.Err() == nil; {
		for id, backend := range openSockets(ctx, c) {
			if _, old := before[id]; !old {
				names = append(names, backend)
			}
		}
		if len(names) == 0 {
			time.Sleep(20 * time.Millisecond)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// openSockets maps the ids of open sockets to their backends; nil if no admin
// address answers, or if there are more than 20,000, which would keep a busy
// server busier.
func openSockets(ctx context.Context, c *client) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	found := make(map[string]string)
	query := url.Values{"limit": {"1000"}}
	for range 20 {
		var page admin.SocketPage
		if c.do(ctx, http.MethodGet, query, nil, &page, "sockets") != nil {
			return nil
		}
		for i := range page.Sockets {
			s := &page.Sockets[i]
			found[s.ID] = s.Pool + "/" + s.Backend
		}
		if page.Next == "" {
			return found
		}
		query.Set("cursor", page.Next)
	}
	return nil
}

// milliseconds writes d for people.
func milliseconds(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/1e6) }
