package demo

import (
	_ "embed"
	"net/url"

	"github.com/fasthttp/websocket"
	"github.com/valyala/fasthttp"
)

//go:embed page.html
var page []byte

// pagePolicy lets the page use what is in it and talk to where it came from.
const pagePolicy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; " +
	"connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// upgrader refuses handshakes whose Origin is not the host that they are for:
// other web pages have no business here.
var upgrader = websocket.FastHTTPUpgrader{
	ReadBufferSize:  1 << 10,
	WriteBufferSize: 4 << 10,
}

func (l *life) handle(ctx *fasthttp.RequestCtx) {
	// Last, because the upgrader resets the response of a handshake it refuses.
	defer func() {
		ctx.Response.Header.Set("X-Demo-Server", l.name)
		ctx.Response.Header.Set("X-Content-Type-Options", "nosniff")
		ctx.Response.Header.Set("Cache-Control", "no-store")
	}()
	switch string(ctx.Path()) {
	case "/":
		ctx.Response.Header.Set("Content-Security-Policy", pagePolicy)
		ctx.SetContentType("text/html; charset=utf-8")
		ctx.Response.SetBodyRaw(page)
	case "/health":
		players, rooms := l.arena.counts()
		sendJSON(ctx, fasthttp.StatusOK, struct {
			Server  string `json:"server"`
			Players int    `json:"players"`
			Rooms   int    `json:"rooms"`
		}{l.name, players, rooms})
	case "/ws":
		l.upgrade(ctx)
	case "/demo/kill":
		l.killOne(ctx)
	default:
		refuse(ctx, fasthttp.StatusNotFound, "there is nothing here; the game is at /")
	}
}

// upgrade turns a handshake into a player.
func (l *life) upgrade(ctx *fasthttp.RequestCtx) {
	room, err := parseRoom(string(ctx.QueryArgs().Peek("room")))
	if err != nil {
		refuse(ctx, fasthttp.StatusBadRequest, err.Error())
		return
	}
	name := parseName(string(ctx.QueryArgs().Peek("name")))
	// On failure the upgrader has answered, and there is nothing to add.
	_ = upgrader.Upgrade(ctx, func(c *websocket.Conn) { l.arena.play(c, room, name) })
}

// killOne plans the outage of the server that ?server= names, or of this one.
// Any server of the fleet can be asked, so it does not matter which one a
// balancer picks.
func (l *life) killOne(ctx *fasthttp.RequestCtx) {
	if !ctx.IsPost() {
		ctx.Response.Header.Set("Allow", "POST")
		refuse(ctx, fasthttp.StatusMethodNotAllowed, "POST stops a server")
		return
	}
	if origin := string(ctx.Request.Header.Peek("Origin")); origin != "" {
		if u, err := url.Parse(origin); err != nil || u.Host != string(ctx.Host()) {
			refuse(ctx, fasthttp.StatusForbidden, "only this page's own button may do that")
			return
		}
	}
	name := string(ctx.QueryArgs().Peek("server"))
	if name == "" {
		name = l.name
	}
	if !l.fleet.planOutage(name) {
		refuse(ctx, fasthttp.StatusConflict, "no server of that name is running")
		return
	}
	sendJSON(ctx, fasthttp.StatusAccepted, struct {
		Server  string  `json:"server"`
		Seconds float64 `json:"back_after_seconds"`
	}{name, l.fleet.downTime.Seconds()})
}

func refuse(ctx *fasthttp.RequestCtx, status int, why string) {
	ctx.SetStatusCode(status)
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.SetBodyString(why + "\n")
}

func sendJSON(ctx *fasthttp.RequestCtx, status int, v any) {
	ctx.SetStatusCode(status)
	ctx.SetContentType("application/json")
	ctx.SetBody(append(encode(v), '\n'))
}
