// Package chart draws a report's tables: bars for a scenario, one for each
// balancer with a mark for the spread of its rounds, and curves for a sweep.
// It writes SVG with text as text, so that a report reads well anywhere and
// its files can be compared.
package chart

import (
	"fmt"
	"image/color"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/holdfast-lb/holdfast/bench/report"
)

const (
	width  = 16 * vg.Centimeter
	height = 8 * vg.Centimeter
)

// colours by balancer: the same one in every picture. Distinct in lightness
// too, for those who see colours differently.
var colours = map[string]color.Color{
	report.Subject:    color.RGBA{0x00, 0x6d, 0x77, 0xff},
	"haproxy":         color.RGBA{0xe0, 0x7a, 0x1f, 0xff},
	"haproxy-default": color.RGBA{0xf2, 0xb8, 0x77, 0xff},
	"nginx":           color.RGBA{0x3a, 0x86, 0x3a, 0xff},
	"apache":          color.RGBA{0x9d, 0x2b, 0x4f, 0xff},
	"caddy":           color.RGBA{0x4a, 0x5a, 0xc8, 0xff},
	report.Limit:      color.RGBA{0xb5, 0xb5, 0xb5, 0xff},
}

func colourOf(peer string) color.Color {
	if c, ok := colours[peer]; ok {
		return c
	}
	return color.Black
}

// Write draws every scenario and every sweep of r that has a figure, as
// NAME.svg and sweep-NAME.svg in dir, which exists.
func Write(dir string, r *report.Report) error {
	for _, s := range r.Scenarios {
		if s.Sweep != "" || s.Metric == report.Lost {
			continue
		}
		if err := save(filepath.Join(dir, s.Name+".svg"), func() (*plot.Plot, error) { return bars(r, s) }); err != nil {
			return err
		}
	}
	for _, sweep := range r.Sweeps() {
		if err := save(filepath.Join(dir, "sweep-"+sweep.Name+".svg"), func() (*plot.Plot, error) { return curves(r, sweep) }); err != nil {
			return err
		}
	}
	return nil
}

// bars is the picture of one scenario.
func bars(r *report.Report, s report.Scenario) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("%s: %s", s.Name, s.Metric)
	p.Y.Min = 0
	p.Add(plotter.NewGrid())
	var names []string
	for _, row := range r.Rows(s) {
		name := row.Peer
		if row.Problem != "" || row.Value == 0 {
			name += " (no figure)"
		}
		bar, err := plotter.NewBarChart(plotter.Values{row.Value}, vg.Points(36))
		if err != nil {
			return nil, err
		}
		at := float64(len(names))
		bar.XMin, bar.Color, bar.LineStyle.Width = at, colourOf(row.Peer), 0
		p.Add(bar)
		if row.Low < row.High {
			mark, err := plotter.NewYErrorBars(spread{at, row})
			if err != nil {
				return nil, err
			}
			p.Add(mark)
		}
		names = append(names, name)
	}
	p.NominalX(names...)
	return p, nil
}

// spread is the range of one balancer's rounds, for plotter.NewYErrorBars.
type spread struct {
	x   float64
	row report.Row
}

func (s spread) Len() int              { return 1 }
func (s spread) XY(int) (x, y float64) { return s.x, s.row.Value }
func (s spread) YError(int) (down, above float64) {
	return s.row.Value - s.row.Low, s.row.High - s.row.Value
}

// curves is the picture of one sweep. Both axes are logarithmic: a straight
// line that rises by a decade a decade is linear growth.
func curves(r *report.Report, sweep report.Sweep) (*plot.Plot, error) {
	p := plot.New()
	metric := sweep.Scenarios[0].Metric
	p.Title.Text = fmt.Sprintf("as %s grows: %s", sweep.Name, metric)
	p.X.Label.Text = sweep.Name
	p.Y.Label.Text = string(metric)
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.LogTicks{Prec: -1}, plot.LogTicks{Prec: -1}
	p.Add(plotter.NewGrid())
	p.Legend.Top = true
	drawn := false
	for _, peer := range r.Peers {
		var points plotter.XYs
		for _, s := range sweep.Scenarios {
			for _, row := range r.Rows(s) {
				if row.Peer == peer && row.Problem == "" && row.Value > 0 {
					points = append(points, plotter.XY{X: max(s.X, 1), Y: row.Value})
				}
			}
		}
		if len(points) == 0 {
			continue
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, err
		}
		line.Color, line.Width = colourOf(peer), vg.Points(1.5)
		dots.Color, dots.Shape = colourOf(peer), draw.CircleGlyph{}
		p.Add(line, dots)
		p.Legend.Add(peer, line, dots)
		drawn = true
	}
	if !drawn { // a logarithmic axis needs a range
		p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 1, 10, 1, 10
	}
	return p, nil
}

// save writes one picture.
func save(path string, make func() (*plot.Plot, error)) error {
	p, err := make()
	if err != nil {
		return fmt.Errorf("draw %s: %w", path, err)
	}
	canvas := vgsvg.New(width, height)
	p.Draw(draw.New(canvas))
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("draw %s: %w", path, err)
	}
	if _, err := canvas.WriteTo(f); err != nil {
		_ = f.Close()
		return fmt.Errorf("draw %s: %w", path, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("draw %s: %w", path, err)
	}
	return nil
}
