package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/fasthttp/websocket"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// browser is a headless Chromium that a test drives by its DevTools protocol.
type browser struct {
	t    testing.TB
	conn *websocket.Conn

	write   sync.Mutex
	mu      sync.Mutex // guards what follows
	last    int
	waiting map[int]chan devtools
	heard   []devtools
}

// devtools is one message of the protocol.
type devtools struct {
	ID      int                       `json:"id,omitempty"`
	Session string                    `json:"sessionId,omitempty"`
	Method  string                    `json:"method,omitempty"`
	Params  json.RawMessage           `json:"params,omitempty"`
	Result  json.RawMessage           `json:"result,omitempty"`
	Error   *struct{ Message string } `json:"error,omitempty"`
}

// startBrowser starts one, or skips the test if there is none. The test's end
// stops it.
func startBrowser(t testing.TB) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed: what the dashboard does in a browser is not looked at")
	}
	dir, err := os.MkdirTemp("", "holdfast-browser-")
	if err != nil {
		t.Fatal(err)
	}
	// Its helpers write on for a moment when it has been killed.
	t.Cleanup(func() {
		testkit.Eventually(t, patience, func() bool { return os.RemoveAll(dir) == nil }, "the browser's directory is removed")
	})
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--user-data-dir="+dir, "--remote-debugging-port=0", "about:blank")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	var lines []string
	testkit.Eventually(t, 4*patience, func() bool {
		b, err := os.ReadFile(filepath.Join(dir, "DevToolsActivePort"))
		lines = strings.Split(string(b), "\n")
		return err == nil && len(lines) == 2
	}, "chromium says where its DevTools are")
	conn, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://127.0.0.1:"+lines[0]+lines[1], nil)
	if err != nil {
		t.Fatalf("connect to chromium: %v", err)
	}
	b := &browser{t: t, conn: conn, waiting: map[int]chan devtools{}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.listen()
	}()
	t.Cleanup(func() {
		conn.Close()
		<-ended
	})
	return b
}

// listen sorts what the browser says until the connection ends.
func (b *browser) listen() {
	for {
		var m devtools
		if err := b.conn.ReadJSON(&m); err != nil {
			return
		}
		b.mu.Lock()
		if answer := b.waiting[m.ID]; m.ID != 0 && answer != nil {
			delete(b.waiting, m.ID)
			answer <- m
		} else {
			b.heard = append(b.heard, m)
		}
		b.mu.Unlock()
	}
}

// call has the browser do something and returns the result.
func (b *browser) call(session, method string, params any) json.RawMessage {
	b.t.Helper()
	data, err := json.Marshal(params)
	if err != nil {
		b.t.Fatal(err)
	}
	answer := make(chan devtools, 1)
	b.mu.Lock()
	b.last++
	id := b.last
	b.waiting[id] = answer
	b.mu.Unlock()
	b.write.Lock()
	err = b.conn.WriteJSON(devtools{ID: id, Session: session, Method: method, Params: data})
	b.write.Unlock()
	if err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	select {
	case m := <-answer:
		if m.Error != nil {
			b.t.Fatalf("%s: %s", method, m.Error.Message)
		}
		return m.Result
	case <-b.t.Context().Done():
		b.t.Fatalf("%s: no answer", method)
	}
	return nil
}

// page is one tab.
type page struct {
	*browser
	session string
}

// open opens a page and has it report what it loads and what goes wrong.
func (b *browser) open(url string) *page {
	b.t.Helper()
	var target struct{ TargetID string }
	b.into(b.call("", "Target.createTarget", map[string]any{"url": "about:blank"}), &target)
	var session struct{ SessionID string }
	b.into(b.call("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}), &session)
	p := &page{b, session.SessionID}
	for _, domain := range []string{"Network", "Log", "Runtime", "Page"} {
		p.call(p.session, domain+".enable", struct{}{})
	}
	p.call(p.session, "Page.navigate", map[string]any{"url": url})
	return p
}

func (b *browser) into(data json.RawMessage, to any) {
	b.t.Helper()
	if err := json.Unmarshal(data, to); err != nil {
		b.t.Fatalf("%v in %s", err, data)
	}
}

// run returns the value of an expression in the page, as text. A promise is
// waited for.
func (p *page) run(expression string) string {
	p.t.Helper()
	var answer struct {
		Result           struct{ Value any }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	p.into(p.call(p.session, "Runtime.evaluate", map[string]any{
		"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true,
	}), &answer)
	if e := answer.ExceptionDetails; e != nil {
		p.t.Fatalf("%s: %s %s", expression, e.Text, e.Exception.Description)
	}
	return fmt.Sprint(answer.Result.Value)
}

// await waits until an expression is true.
func (p *page) await(expression string) {
	p.t.Helper()
	// What is looked at may not be there yet.
	truth := "(() => { try { return Boolean(" + expression + ") } catch { return false } })()"
	testkit.Eventually(p.t, 2*patience, func() bool { return p.run(truth) == "true" }, expression)
}

// click waits for an element that CSS selects, of those that say text, and
// clicks it.
func (p *page) click(selector, text string) {
	p.t.Helper()
	find := fmt.Sprintf(`[...document.querySelectorAll(%q)].find((e) => e.offsetParent && e.textContent.includes(%q))`, selector, text)
	p.await(find)
	p.run(find + ".click()")
}

// messages returns what the browser has said by some method.
func (p *page) messages(method string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []string
	for _, m := range p.heard {
		if m.Session == p.session && m.Method == method {
			list = append(list, string(m.Params))
		}
	}
	return list
}
