package benchtext

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"

	"github.com/wskstack/wskstack/test/bench"
)

// tooBusy is the share of foreign processor time above which a run is not to be
// believed.
const tooBusy = 0.25

// Report prints a report as a table: medians with their ends, and ratios.
func Report(w io.Writer, r bench.Report) error {
	fmt.Fprintf(w, "%s: %v\n%d rounds in turns; medians [least-most]; ratios are of the same round\n\n", r.Kind, r.Machine, r.Rounds)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\t\t\t\tratio")
	last := ""
	for _, row := range r.Rows {
		if row.Name != last {
			fmt.Fprintf(t, "%s\n", row.Name)
			last = row.Name
		}
		for i, c := range row.Columns {
			metric := ""
			if i == 0 {
				metric = fmt.Sprintf("%s, %s", row.Metric, row.Unit)
			}
			fmt.Fprintf(t, "  %s\t%s\t%s", metric, c.Subject, Summary(c.Summary()))
			if i > 0 {
				fmt.Fprintf(t, "\t\t%s", ratio(c.Ratios(row.Columns[0])))
			}
			fmt.Fprintln(t)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n"+Belief(r))
	return err
}

func ratio(ratios []float64) string {
	if len(ratios) == 0 {
		return "-"
	}
	return Summary(bench.Summarise(ratios))
}

// Summary writes a median with its ends.
func Summary(s bench.Summary) string {
	return fmt.Sprintf("%s [%s-%s]", number(s.Median), number(s.Min), number(s.Max))
}

// number writes three digits.
func number(x float64) string {
	switch a := math.Abs(x); {
	case a == 0:
		return "0"
	case a >= 100:
		return fmt.Sprintf("%.0f", x)
	case a >= 10:
		return fmt.Sprintf("%.1f", x)
	case a >= 1:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.3f", x)
}

// Belief says how far to trust a report.
func Belief(r bench.Report) string {
	switch {
	case r.Foreign > tooBusy:
		return fmt.Sprintf("THE MACHINE WAS TOO BUSY TO BELIEVE THIS: others had %.0f %% of its processors meanwhile (up to %.0f %% is fine)\n", 100*r.Foreign, 100*tooBusy)
	case r.Rounds < bench.DefaultRounds:
		return fmt.Sprintf("%d rounds are few: %d or more make a median worth something\n", r.Rounds, bench.DefaultRounds)
	}
	return fmt.Sprintf("others had %.0f %% of the processors meanwhile\n", 100*r.Foreign)
}

// Headline prints the table of figures of a report of bench.Headline, in Markdown.
func Headline(w io.Writer, r bench.Report) error {
	fmt.Fprintf(w, "%v, %d rounds; others had %.0f %% of the processors.\n\n", r.Machine, r.Rounds, 100*r.Foreign)
	fmt.Fprintln(w, "| Figure | Goal | Aim | Measured: median [least-most] |")
	_, err := fmt.Fprintln(w, "|---|---|---|---|")
	for _, f := range bench.Figures() {
		s, ok := f.Of(r)
		if !ok {
			continue
		}
		sign := "≥"
		if f.Lower {
			sign = "≤"
		}
		unit := ""
		if f.Unit != "" {
			unit = " " + f.Unit
		}
		_, err = fmt.Fprintf(w, "| %s | %s %s%s | %s %s | %s%s |\n", f.Name, sign, goal(f.Reach), unit, sign, goal(f.Aim), Summary(s), unit)
	}
	return err
}

func goal(x float64) string { return fmt.Sprintf("%.4g", x) }
