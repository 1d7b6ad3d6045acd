package fleet

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
)

const (
	width  = 20 * vg.Centimeter
	height = 10 * vg.Centimeter
)

// colours are of the servers, in their order, and of what should be.
var colours = []color.Color{
	color.RGBA{0xd0, 0x4a, 0x35, 0xff}, color.RGBA{0x00, 0x6d, 0x77, 0xff}, color.RGBA{0x4a, 0x5a, 0xc8, 0xff},
	color.RGBA{0x3a, 0x86, 0x3a, 0xff}, color.RGBA{0x20, 0x20, 0x20, 0xff},
}

// picture is a plot of lines over time.
type picture struct{ *plot.Plot }

func newPlot(title, x, y string) picture {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Y.Min = 0
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	return picture{p}
}

// line adds a line in the n-th colour.
func (p picture) line(name string, points plotter.XYs, n int) error {
	return p.add(name, points, draw.LineStyle{Color: colours[n], Width: vg.Points(1.4)})
}

// dashes is line, in dashes.
func (p picture) dashes(name string, points plotter.XYs, n int) error {
	return p.add(name, points, draw.LineStyle{Color: colours[n], Width: vg.Points(1.2), Dashes: []vg.Length{vg.Points(4), vg.Points(3)}})
}

func (p picture) add(name string, points plotter.XYs, style draw.LineStyle) error {
	if len(points) == 0 {
		return nil
	}
	line, err := plotter.NewLine(points)
	if err != nil {
		return fmt.Errorf("draw %s: %w", name, err)
	}
	line.LineStyle = style
	p.Add(line)
	p.Legend.Add(name, line)
	return nil
}

// save writes NAME.svg.
func (p picture) save(o Options, name string) error {
	canvas := vgsvg.New(width, height)
	p.Draw(draw.New(canvas))
	f, err := os.Create(filepath.Join(o.Out, name+".svg"))
	if err != nil {
		return fmt.Errorf("draw %s: %w", name, err)
	}
	if _, err := canvas.WriteTo(f); err != nil {
		_ = f.Close()
		return fmt.Errorf("draw %s: %w", name, err)
	}
	return f.Close()
}
