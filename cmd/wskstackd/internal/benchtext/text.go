package benchtext

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/wskstack/wskstack/test/bench"
)

// Report prints a report as a table: medians with their ends, and ratios.
func Report(w io.Writer, r bench.Report) error {
	fmt.Fprintf(w, "%s: %v\n%s in turns; medians [least-most]; ratios are of the same round\n\n", r.Kind, r.Machine, rounds(r))
	var table bytes.Buffer
	t := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\t\tmeasured\tratio to the first")
	last := ""
	for _, row := range r.Rows {
		if row.Name != last {
			fmt.Fprintf(t, "%s\t\t\t\n", row.Name)
			last = row.Name
		}
		for i, c := range row.Columns {
			metric := ""
			if i == 0 {
				metric = fmt.Sprintf("%s, %s", row.Metric, row.Unit)
			}
			against := ""
			if i > 0 {
				against = ratio(c.Ratios(row.Columns[0]))
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", metric, c.Subject, Summary(c.Summary()), against)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(table.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
	_, err := io.WriteString(w, "\n"+Belief(r))
	return err
}

// rounds says how many there were, and how long a measurement was.
func rounds(r bench.Report) string {
	text := fmt.Sprintf("%d rounds", r.Rounds)
	if r.Rounds == 1 {
		text = "1 round"
	}
	if r.Seconds > 0 {
		text += fmt.Sprintf(" of %v", time.Duration(r.Seconds*float64(time.Second)))
	}
	return text
}

func ratio(ratios []float64) string {
	if len(ratios) == 0 {
		return "-"
	}
	return Summary(bench.Summarise(ratios))
}

// Summary writes a median with its ends, three digits each.
func Summary(s bench.Summary) string { return summary(s, usual) }

func summary(s bench.Summary, n int) string {
	return fmt.Sprintf("%s [%s-%s]", digits(s.Median, n), digits(s.Min, n), digits(s.Max, n))
}

// usual is how many digits of a figure are worth reading.
const usual = 3

func number(x float64) string { return digits(x, usual) }

// digits writes n digits, and no more of them behind the point than below 1.
func digits(x float64, n int) string {
	behind := n
	for a := math.Abs(x); a >= 1 && behind > 0; a /= 10 {
		behind--
	}
	if x == 0 {
		behind = 0
	}
	return strconv.FormatFloat(x, 'f', behind, 64)
}

// Belief says how far to trust a report.
func Belief(r bench.Report) string {
	switch {
	case r.Foreign > bench.TooBusy:
		return fmt.Sprintf("THE MACHINE WAS TOO BUSY TO BELIEVE THIS: others had %.0f %% of its processors meanwhile (up to %.0f %% is fine)\n", 100*r.Foreign, 100*bench.TooBusy)
	case r.Rounds < bench.DefaultRounds:
		return fmt.Sprintf("few rounds (%d): %d or more make a median worth something\n", r.Rounds, bench.DefaultRounds)
	}
	return fmt.Sprintf("others had %.0f %% of the processors meanwhile\n", 100*r.Foreign)
}
