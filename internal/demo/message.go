package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// The protocol. Every message is one JSON text frame with its type under "t".
//
// From the player:
//
//	{"t":"go","x":0.7,"y":-0.7}   swim there; 0,0 stops
//	{"t":"ping","n":12}           answered by a pong with the same n
//
// To the player:
//
//	{"t":"hello","server":…,"room":…,"id":…,"world":[w,h],"speed":…,"reach":…,"players":[…],"pearls":[…]}
//	{"t":"join","player":{…}}
//	{"t":"leave","id":…}
//	{"t":"tick","moves":[[id,x,y,dx,dy],…]}   those that move
//	{"t":"pearl","id":…,"by":…,"score":…,"next":{…}}
//	{"t":"pong","n":12}

// maxMessage bounds what a player may send at once, in bytes.
const maxMessage = 256

// command is a message from a player.
type command struct {
	Type string  `json:"t"`
	X    float64 `json:"x"`
	Y    float64 `json:"y"`
	N    uint32  `json:"n"`
}

var errMessage = errors.New(`send {"t":"go","x":…,"y":…} or {"t":"ping","n":…}`)

// parseCommand returns an error fit for a Close frame's reason. The vector of
// a "go" is finite, each part within -1 and 1.
func parseCommand(data []byte) (command, error) {
	var c command
	if err := json.Unmarshal(data, &c); err != nil {
		return command{}, fmt.Errorf("not a message: %w", errMessage)
	}
	switch c.Type {
	case "go":
		if math.Abs(c.X) > 1 || math.Abs(c.Y) > 1 {
			return command{}, errors.New("x and y of go must be within -1 and 1")
		}
	case "ping":
	default:
		return command{}, fmt.Errorf("unknown type: %w", errMessage)
	}
	return c, nil
}

// maxRoomName is the longest name of a room, in bytes.
const maxRoomName = 24

// parseRoom checks the name of a room; an empty one is "reef".
func parseRoom(name string) (string, error) {
	if name == "" {
		return "reef", nil
	}
	if len(name) > maxRoomName {
		return "", fmt.Errorf("room: name of %d bytes is longer than %d", len(name), maxRoomName)
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return "", fmt.Errorf("room: %q may hold only a to z, 0 to 9 and -", name)
		}
	}
	return name, nil
}

// maxName is the longest name of a player, in characters.
const maxName = 16

// parseName makes any text a name that is fit to be shown: printable, trimmed
// and short. An empty one becomes "someone".
func parseName(name string) string {
	var clean []rune
	for _, c := range strings.TrimSpace(strings.ToValidUTF8(name, "")) {
		if unicode.IsGraphic(c) && len(clean) < maxName {
			clean = append(clean, c)
		}
	}
	if name = strings.TrimSpace(string(clean)); name == "" {
		return "someone"
	}
	return name
}

func helloMessage(r *room, you *player, server string) []byte {
	players := make([]*player, 0, len(r.players))
	for _, p := range r.players {
		players = append(players, p)
	}
	slices.SortFunc(players, func(a, b *player) int { return int(a.ID) - int(b.ID) })
	return encode(struct {
		Type    string     `json:"t"`
		Server  string     `json:"server"`
		Room    string     `json:"room"`
		ID      uint32     `json:"id"`
		World   [2]float64 `json:"world"`
		Speed   float64    `json:"speed"`
		Reach   float64    `json:"reach"`
		Players []*player  `json:"players"`
		Pearls  []pearl    `json:"pearls"`
	}{"hello", server, r.name, you.ID, [2]float64{worldWidth, worldHeight}, speed, reach, players, r.pearls})
}

func joinMessage(p *player) []byte {
	return encode(struct {
		Type   string  `json:"t"`
		Player *player `json:"player"`
	}{"join", p})
}

func leaveMessage(p *player) []byte {
	return fmt.Appendf(nil, `{"t":"leave","id":%d}`, p.ID)
}

func pearlMessage(taken pearl, by *player, next pearl) []byte {
	return encode(struct {
		Type  string `json:"t"`
		ID    uint32 `json:"id"`
		By    uint32 `json:"by"`
		Score int    `json:"score"`
		Next  pearl  `json:"next"`
	}{"pearl", taken.ID, by.ID, by.Score, next})
}

func pongMessage(n uint32) []byte {
	return fmt.Appendf(nil, `{"t":"pong","n":%d}`, n)
}

// tickMessage is written by hand: it is most of what a server sends.
func tickMessage(moved []*player) []byte {
	b := make([]byte, 0, 24+len(moved)*32)
	b = append(b, `{"t":"tick","moves":[`...)
	for i, p := range moved {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		b = strconv.AppendUint(b, uint64(p.ID), 10)
		for _, v := range [...]struct {
			value    float64
			decimals int
		}{{p.X, 1}, {p.Y, 1}, {p.dx, 2}, {p.dy, 2}} {
			b = append(b, ',')
			b = strconv.AppendFloat(b, v.value, 'f', v.decimals, 64)
		}
		b = append(b, ']')
	}
	return append(b, "]}"...)
}

// encode writes one of the types above, which cannot fail: they hold strings
// and finite numbers.
func encode(message any) []byte {
	b, err := json.Marshal(message)
	if err != nil {
		panic("demo: " + err.Error())
	}
	return b
}
