package admin

import (
	"embed"
	"path"

	"github.com/valyala/fasthttp"
)

// ui is the dashboard: plain files that a browser takes as they are. It loads
// nothing from anywhere else and needs nothing but the API.
//
//go:embed ui
var ui embed.FS

// page is the dashboard's files, which are open to everybody: the page itself
// asks for the token.
func (s *Server) page() []endpoint {
	list := []endpoint{{fasthttp.MethodGet, "/", open, file("ui/index.html"), nil}}
	entries, err := ui.ReadDir("ui")
	if err != nil {
		panic(err) // it is part of the program
	}
	for _, e := range entries {
		list = append(list, endpoint{fasthttp.MethodGet, "/ui/" + e.Name(), open, file("ui/" + e.Name()), nil})
	}
	return list
}

// file answers with a file of the dashboard.
func file(name string) func(*fasthttp.RequestCtx, params) {
	content, err := ui.ReadFile(name)
	if err != nil {
		panic(err)
	}
	kind := types[path.Ext(name)]
	return func(ctx *fasthttp.RequestCtx, _ params) {
		ctx.SetContentType(kind)
		ctx.SetBody(content)
	}
}

// types are those of the dashboard's files. What a machine's own table says
// plays no part.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}
