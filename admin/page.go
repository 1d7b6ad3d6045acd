package admin

import (
	_ "embed"
	"html/template"

	"github.com/valyala/fasthttp"
)

//go:embed index.html
var indexPage string

var indexTemplate = template.Must(template.New("index").Parse(indexPage))

// page is the dashboard's files.
func (s *Server) page() []endpoint {
	return []endpoint{{fasthttp.MethodGet, "/", open, s.index}}
}

func (s *Server) index(ctx *fasthttp.RequestCtx, _ params) {
	ctx.SetContentType("text/html; charset=utf-8")
	err := indexTemplate.Execute(ctx, struct {
		Version string
		Metrics bool
	}{s.opts.Version, s.opts.Metrics != nil})
	if err != nil {
		s.opts.Log.Error("write admin index", "error", err)
	}
}
