package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

const patience = 15 * time.Second

func start(t *testing.T, n int) *Fleet {
	t.Helper()
	f, err := Start(n, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// message is any message to a player.
type message struct {
	T, Server, Room string
	ID, N           uint32
	Players         []struct {
		ID   uint32
		Name string
	}
	Player struct{ Name string }
	Moves  [][5]float64
}

// await reads on until a message that ok accepts.
func await(t *testing.T, c *websocket.Conn, what string, ok func(message) bool) message {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	for {
		_, data, err := c.ReadMessage()
		if err != nil {
			t.Fatalf("waiting for %s: %v", what, err)
		}
		var m message
		if err := json.Unmarshal(data, &m); err != nil {
			t.Fatalf("waiting for %s: %v in %s", what, err, data)
		}
		if ok(m) {
			return m
		}
	}
}

func awaitType(t *testing.T, c *websocket.Conn, kind string) message {
	t.Helper()
	return await(t, c, kind, func(m message) bool { return m.T == kind })
}

// closing reads on until the socket ends, and returns why.
func closing(t *testing.T, c *websocket.Conn) error {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	for {
		if _, _, err := c.ReadMessage(); err != nil {
			return err
		}
	}
}

func say(t *testing.T, c *websocket.Conn, m string) {
	t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(m)); err != nil {
		t.Fatalf("send %s: %v", m, err)
	}
}

func TestPlayersOfARoomSeeEachOther(t *testing.T) {
	addr := start(t, 1).Addresses()[0]
	ada := testkit.Dial(t, addr, "/ws?room=abyss&name=Ada", nil)
	hello := awaitType(t, ada, "hello")
	if hello.Server != "demo-1" || hello.Room != "abyss" || len(hello.Players) != 1 || hello.Players[0].Name != "Ada" {
		t.Errorf("hello %+v, want demo-1, abyss and Ada alone", hello)
	}
	bob := testkit.Dial(t, addr, "/ws?room=abyss&name=Bob", nil)
	if hello := awaitType(t, bob, "hello"); len(hello.Players) != 2 {
		t.Errorf("Bob sees %d players, want 2", len(hello.Players))
	}
	stranger := testkit.Dial(t, addr, "/ws?room=reef", nil)
	if hello := awaitType(t, stranger, "hello"); len(hello.Players) != 1 || hello.Players[0].Name != "someone" {
		t.Errorf("another room shows %+v, want someone alone", hello.Players)
	}
	if join := awaitType(t, ada, "join"); join.Player.Name != "Bob" {
		t.Errorf("Ada was told that %q joined, want Bob", join.Player.Name)
	}

	say(t, ada, `{"t":"go","x":1,"y":0}`)
	move := awaitType(t, bob, "tick")
	if len(move.Moves) != 1 || move.Moves[0][0] != float64(hello.ID) || move.Moves[0][3] != 1 {
		t.Errorf("Bob was told %v, want Ada's move to the right", move.Moves)
	}
	say(t, bob, `{"t":"ping","n":41}`)
	if pong := awaitType(t, bob, "pong"); pong.N != 41 {
		t.Errorf("pong %d, want 41", pong.N)
	}

	if err := ada.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "")); err != nil {
		t.Fatal(err)
	}
	if err := closing(t, ada); !websocket.IsCloseError(err, 1000) {
		t.Errorf("Ada's own Close was answered by %v, want 1000", err)
	}
	if leave := awaitType(t, bob, "leave"); leave.ID != hello.ID {
		t.Errorf("Bob was told that %d left, want %d", leave.ID, hello.ID)
	}
}

func TestBadInputEndsTheSocketWithAReason(t *testing.T) {
	addr := start(t, 1).Addresses()[0]
	f := func(kind int, data string, code int, reason string) {
		t.Helper()
		c := testkit.Dial(t, addr, "/ws", nil)
		awaitType(t, c, "hello")
		if err := c.WriteMessage(kind, []byte(data)); err != nil {
			t.Fatal(err)
		}
		var end *websocket.CloseError
		if err := closing(t, c); !errors.As(err, &end) || end.Code != code || !strings.Contains(end.Text, reason) {
			t.Errorf("%.40q: ended by %v, want %d %q", data, err, code, reason)
		}
	}

	f(websocket.TextMessage, `nonsense`, 1008, "not a message")
	f(websocket.TextMessage, `{"t":"go","x":9}`, 1008, "within -1 and 1")
	f(websocket.BinaryMessage, `{"t":"go"}`, 1003, "send text")
	f(websocket.TextMessage, strings.Repeat(" ", maxMessage+1), 1009, "")
}

func TestFloodEndsTheSocket(t *testing.T) {
	c := testkit.Dial(t, start(t, 1).Addresses()[0], "/ws", nil)
	for range messageBurst + messagesPerSecond {
		if err := c.WriteMessage(websocket.TextMessage, []byte(`{"t":"go"}`)); err != nil {
			break // ended already
		}
	}
	if err := closing(t, c); !websocket.IsCloseError(err, 1008) {
		t.Errorf("ended by %v, want 1008", err)
	}
}

func TestHandshakeIsRefused(t *testing.T) {
	addr := start(t, 1).Addresses()[0]
	f := func(path string, header http.Header, status int) {
		t.Helper()
		c, resp, err := testkit.TryDial(addr, path, header)
		if err == nil {
			c.Close()
			t.Fatalf("%s %v: accepted, want %d", path, header, status)
		}
		if resp == nil || resp.StatusCode != status {
			t.Errorf("%s %v: %v (%v), want %d", path, header, resp, err, status)
		}
	}

	f("/ws?room=no/room", nil, 400)
	f("/ws?room="+strings.Repeat("a", 25), nil, 400)
	f("/ws", http.Header{"Origin": {"http://evil.example"}}, 403)
	f("/nothing", nil, 404)
}

func TestFullRoomSaysSo(t *testing.T) {
	f := start(t, 1)
	a := f.lives[0].arena
	for range maxPlayers {
		p, err := a.join("reef", "x")
		if err != nil {
			t.Fatal(err)
		}
		defer a.leave(p)
		go func() {
			for range p.out { // keeps up until it has left
			}
		}()
	}
	err := closing(t, testkit.Dial(t, f.Addresses()[0], "/ws?room=reef", nil))
	var end *websocket.CloseError
	if !errors.As(err, &end) || end.Code != 1013 || end.Text != errRoomFull.Error() {
		t.Errorf("ended by %v, want 1013 %q", err, errRoomFull)
	}
}

// request sends one request on a connection of its own.
func request(t *testing.T, method, url string, header http.Header) (status int, body string, answer http.Header) {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

func TestPaths(t *testing.T) {
	fleet := start(t, 2)
	base := "http://" + fleet.Addresses()[1]
	f := func(method, path string, status int, want string) {
		t.Helper()
		got, body, header := request(t, method, base+path, nil)
		if got != status || !strings.Contains(body, want) || header.Get("X-Demo-Server") != "demo-2" {
			t.Errorf("%s %s: %d from %q: %.80q, want %d with %q", method, path, got, header.Get("X-Demo-Server"), body, status, want)
		}
	}

	f("GET", "/", 200, "<title>Holdfast demo</title>")
	f("GET", "/?room=abyss", 200, "<title>Holdfast demo</title>")
	f("GET", "/health", 200, `{"server":"demo-2","players":0,"rooms":0}`)
	f("GET", "/nothing", 404, "nothing here")
	f("GET", "/ws", 400, "")
	f("GET", "/demo/kill", 405, "POST")
	f("POST", "/demo/kill?server=demo-9", 409, "no server of that name")

	if _, _, header := request(t, "GET", base+"/demo/kill", nil); header.Get("Allow") != "POST" {
		t.Errorf("405 with Allow %q, want POST", header.Get("Allow"))
	}
}

// TestPageNeedsNothingElse holds the promise that the demo works offline.
func TestPageNeedsNothingElse(t *testing.T) {
	for _, outside := range []string{"https://", "//cdn", "@import", "<link rel=\"stylesheet\"", "src=\"http"} {
		if strings.Contains(string(page), outside) {
			t.Errorf("the page refers to %q", outside)
		}
	}
	if len(page) > 64<<10 {
		t.Errorf("the page has %d bytes, want 64 KiB at most", len(page))
	}
}

func TestKillAndRestart(t *testing.T) {
	f := start(t, 2)
	addresses := f.Addresses()
	c := testkit.Dial(t, addresses[0], "/ws", nil)
	awaitType(t, c, "hello")
	other := testkit.Dial(t, addresses[1], "/ws", nil)
	awaitType(t, other, "hello")

	if err := f.Kill(0); err != nil {
		t.Fatal(err)
	}
	if err := closing(t, c); websocket.IsCloseError(err, 1000, 1001, 1008) {
		t.Errorf("a killed server said goodbye: %v", err)
	}
	if c, err := net.Dial("tcp", addresses[0]); err == nil {
		c.Close()
		t.Error("the port of a killed server takes connections")
	}
	say(t, other, `{"t":"ping","n":1}`)
	awaitType(t, other, "pong")
	if err := f.Kill(0); err != nil {
		t.Errorf("kill again: %v, want no error", err)
	}

	for range 2 { // the second does nothing
		if err := f.Restart(0); err != nil {
			t.Fatalf("restart: %v", err)
		}
	}
	if now := f.Addresses(); now[0] != addresses[0] {
		t.Errorf("address %s after the restart, want %s", now[0], addresses[0])
	}
	again := testkit.Dial(t, addresses[0], "/ws", nil)
	if hello := awaitType(t, again, "hello"); len(hello.Players) != 1 || hello.ID != 1 {
		t.Errorf("hello %+v, want a server that remembers nobody", hello)
	}
}

func TestNumbersOutOfRange(t *testing.T) {
	f := start(t, 1)
	for _, i := range []int{-1, 1} {
		if f.Kill(i) == nil || f.Restart(i) == nil {
			t.Errorf("server %d of 1 was killed or started", i)
		}
	}
	for _, n := range []int{-1, 0, 65} {
		if f, err := Start(n, slog.New(slog.DiscardHandler)); err == nil {
			f.Close()
			t.Errorf("a fleet of %d was started", n)
		}
	}
}

func TestOutageFromThePage(t *testing.T) {
	f := start(t, 2)
	f.downTime = 2 * time.Second // in which it is asked for again
	addresses := f.Addresses()
	victim := testkit.Dial(t, addresses[1], "/ws", nil)
	awaitType(t, victim, "hello")

	// Asked for at another server than the one to stop, as a balancer may do it.
	url := "http://" + addresses[0] + "/demo/kill?server=demo-2"
	if status, body, _ := request(t, "POST", url, http.Header{"Origin": {"http://evil.example"}}); status != 403 {
		t.Errorf("from another page: %d %s, want 403", status, body)
	}
	status, body, _ := request(t, "POST", url, http.Header{"Origin": {"http://" + addresses[0]}})
	if status != 202 || strings.TrimSpace(body) != `{"server":"demo-2","back_after_seconds":2}` {
		t.Errorf("from its own page: %d %s, want 202", status, body)
	}
	if status, _, _ := request(t, "POST", url, nil); status != 409 {
		t.Errorf("again: %d, want 409 while the outage is on", status)
	}
	if err := closing(t, victim); websocket.IsCloseError(err, 1000, 1001) {
		t.Errorf("the stopped server said goodbye: %v", err)
	}
	testkit.Eventually(t, patience, func() bool {
		c, err := net.Dial("tcp", addresses[1])
		if err != nil {
			return false
		}
		c.Close()
		return true
	}, "the server returns to its address")
}

func TestCloseSaysGoodbyeWithinASecond(t *testing.T) {
	f := start(t, 3)
	f.downTime = time.Hour
	var players []*websocket.Conn
	for i, addr := range f.Addresses() {
		for j := range 5 {
			c := testkit.Dial(t, addr, fmt.Sprintf("/ws?room=room-%d", j%2), nil)
			if hello := awaitType(t, c, "hello"); hello.Server != f.Name(i) {
				t.Errorf("server %q, want %q", hello.Server, f.Name(i))
			}
			players = append(players, c)
		}
	}
	idle := testkit.DialTCP(t, f.Addresses()[0])
	idle.Send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
	idle.ReadUntil("}\n", patience)
	// An outage under way must not hold Close up.
	if status, _, _ := request(t, "POST", "http://"+f.Addresses()[2]+"/demo/kill?server=demo-3", nil); status != 202 {
		t.Fatalf("kill: %d, want 202", status)
	}

	began := time.Now()
	f.Close()
	if took := time.Since(began); took > 10*time.Second { // nine for a busy machine
		t.Errorf("Close took %v, want a second at most", took)
	}
	for _, c := range players[:10] {
		var end *websocket.CloseError
		if err := closing(t, c); !errors.As(err, &end) || end.Code != 1001 || !strings.HasSuffix(end.Text, "is going away") {
			t.Errorf("ended by %v, want 1001", err)
		}
	}
	f.Close() // again is no harm
	if err := f.Restart(0); err == nil {
		t.Error("a closed fleet was restarted")
	}
}
