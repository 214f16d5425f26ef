package benchtext

import (
	"bytes"
	"fmt"
	"html"
	"io"

	"github.com/wskstack/wskstack/test/bench"
)

// The measures of a plot, in pixels.
const (
	plotLeft  = 440 // names
	plotWidth = 480 // bars
	plotRight = 90  // numbers
	plotTop   = 56
	plotRow   = 18
)

// bar is one ratio of a plot.
type bar struct {
	name string
	bench.Summary
}

// Plot draws the ratios of a report to its first column, as an SVG image of bars with
// their ends.
func Plot(w io.Writer, r bench.Report) error {
	bars := barsOf(r)
	if len(bars) == 0 {
		return fmt.Errorf("%w: it compares nothing, so there is nothing to draw", bench.ErrReport)
	}
	most := 1.0
	for _, b := range bars {
		most = max(most, b.Max)
	}
	x := func(v float64) float64 { return plotLeft + plotWidth*v/most }
	var svg bytes.Buffer
	height := plotTop + plotRow*(len(bars)+1)
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n",
		plotLeft+plotWidth+plotRight, height)
	fmt.Fprintf(&svg, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	fmt.Fprintf(&svg, `<text x="8" y="20" font-weight="bold">%s, as multiples of the first column</text>`+"\n", html.EscapeString(r.Kind))
	fmt.Fprintf(&svg, `<text x="8" y="38">%s</text>`+"\n", html.EscapeString(fmt.Sprintf("%v, %s", r.Machine, rounds(r))))
	fmt.Fprintf(&svg, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#888" stroke-dasharray="3 3"/>`+"\n", x(1), plotTop-8, x(1), height)
	for i, b := range bars {
		b.draw(&svg, plotTop+plotRow*i, x)
	}
	svg.WriteString("</svg>\n")
	_, err := svg.WriteTo(w)
	return err
}

func (b bar) draw(svg *bytes.Buffer, y int, x func(float64) float64) {
	mid := y + plotRow/2
	fmt.Fprintf(svg, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", plotLeft-6, mid+4, html.EscapeString(b.name))
	fmt.Fprintf(svg, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="#3b6ea5"/>`+"\n", plotLeft, y+3, x(b.Median)-plotLeft, plotRow-6)
	fmt.Fprintf(svg, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="black"/>`+"\n", x(b.Min), mid, x(b.Max), mid)
	fmt.Fprintf(svg, `<text x="%.1f" y="%d">%s</text>`+"\n", x(b.Max)+4, mid+4, number(b.Median))
}

func barsOf(r bench.Report) (bars []bar) {
	for _, row := range r.Rows {
		for _, c := range row.Columns[min(1, len(row.Columns)):] {
			if ratios := c.Ratios(row.Columns[0]); len(ratios) > 0 {
				name := fmt.Sprintf("%s, %s: %s / %s", row.Name, row.Metric, c.Subject, row.Columns[0].Subject)
				bars = append(bars, bar{name, bench.Summarise(ratios)})
			}
		}
	}
	return bars
}
