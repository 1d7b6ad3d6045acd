package auth

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/holdfast-lb/holdfast/internal/outbound"
)

const (
	keysInterval = time.Hour        // between two fetches when all is well
	keysAgain    = 10 * time.Second // after a failure, and the least time between any two
	keysTimeout  = 10 * time.Second // of one fetch, its retries included
	keysWait     = 2 * time.Second  // that a token with an unknown key may have to wait
	maxKeys      = 1 << 20          // bytes of a key set
)

// Keys are the public keys behind a URL. They are fetched by a goroutine of
// their own: at once, every hour, and when a token names an unknown one. When
// that fails, the keys before stay. Its methods may be called from any
// goroutine.
type Keys struct {
	fetch func(context.Context) ([]byte, error)
	log   *slog.Logger

	set  atomic.Pointer[keySet] // nil before the first
	wake chan struct{}
	stop context.CancelFunc
	done chan struct{}

	mu       sync.Mutex
	fetching bool
	tried    time.Time     // when the last fetch ended
	fetched  chan struct{} // closed when the fetch ends that is under way, or the next one
}

// NewKeys begins to fetch the keys at url, by way of the proxy that the
// environment names, since they may be anywhere. Close ends that.
func NewKeys(url string, log *slog.Logger) *Keys {
	client := again(outbound.NewHTTPClient(0))
	shown, _, _ := strings.Cut(url, "?")
	return newKeys(func(ctx context.Context) ([]byte, error) {
		defer client.HTTPClient.CloseIdleConnections()
		return get(ctx, client, url)
	}, log.With("url", shown))
}

func newKeys(fetch func(context.Context) ([]byte, error), log *slog.Logger) *Keys {
	ctx, stop := context.WithCancel(context.Background())
	k := &Keys{
		fetch: fetch, log: log, stop: stop, fetching: true,
		wake: make(chan struct{}, 1), done: make(chan struct{}), fetched: make(chan struct{}),
	}
	go k.run(ctx)
	return k
}

// Close ends the fetching and waits for its goroutine. The keys stay.
func (k *Keys) Close() {
	k.stop()
	<-k.done
}

// current returns the keys that were fetched last; nil if none ever were.
func (k *Keys) current() *keySet { return k.set.Load() }

// refresh has the keys fetched, because had, which may be nil, does not do. It
// waits for that for a while, and returns what there is then. If the last
// fetch is not long ago it does not wait.
func (k *Keys) refresh(had *keySet) *keySet {
	k.mu.Lock()
	fetched, soon := k.fetched, !k.fetching && time.Since(k.tried) < keysAgain
	k.mu.Unlock()
	if now := k.current(); soon || now != had {
		return now
	}
	select {
	case k.wake <- struct{}{}:
	default:
	}
	wait := time.NewTimer(keysWait)
	defer wait.Stop()
	select {
	case <-fetched:
	case <-wait.C:
	}
	return k.current()
}

func (k *Keys) run(ctx context.Context) {
	defer close(k.done)
	failing := false
	for {
		err := k.once(ctx)
		if ctx.Err() != nil {
			return
		}
		pause := keysInterval
		if err != nil {
			pause = keysAgain
			if !failing {
				k.log.Warn("keys for tokens cannot be fetched, the last ones stay", "error", err, "have_keys", k.current() != nil)
			}
		}
		failing = err != nil
		if !k.sleep(ctx, pause) {
			return
		}
		k.mu.Lock()
		k.fetching = true
		k.mu.Unlock()
	}
}

// once fetches, and tells those who wait.
func (k *Keys) once(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	raw, err := k.fetch(bounded)
	if err == nil {
		err = k.take(raw)
	}
	k.mu.Lock()
	k.fetching, k.tried = false, time.Now()
	close(k.fetched)
	k.fetched = make(chan struct{})
	k.mu.Unlock()
	return err
}

func (k *Keys) take(raw []byte) error {
	set, err := parseKeySet(raw)
	if err != nil {
		return err
	}
	if !set.equal(k.current()) {
		k.set.Store(set)
		k.log.Info("keys for tokens fetched", "keys", set.size)
	}
	return nil
}

// sleep waits for pause, or until somebody wakes it, if the last fetch is long
// enough ago. It is false at the end.
func (k *Keys) sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-k.wake:
			// One that was late for the fetch before must not cause another.
			k.mu.Lock()
			soon := time.Since(k.tried) < keysAgain
			k.mu.Unlock()
			if !soon {
				return true
			}
		}
	}
}

// get returns the body of a 200.
func get(ctx context.Context, client *retryablehttp.Client, url string) ([]byte, error) {
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, outbound.Cause(err)
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, outbound.Cause(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered with status %d, not 200", resp.StatusCode)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxKeys+1))
	if err == nil && len(raw) > maxKeys {
		err = fmt.Errorf("has more than %d bytes", maxKeys)
	}
	return raw, err
}
