package benchtext

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"golang.org/x/perf/benchmath"

	"github.com/wskstack/wskstack/test/bench"
)

// The ways in which a comparison ends that are not "as good".
var (
	// ErrOtherMachine: the two reports are of different machines.
	ErrOtherMachine = errors.New("the reports are of different machines, and only ratios on one machine mean anything (--any-machine compares them all the same)")
	// ErrWorse: a ratio is worse than the stored one by more than the margin.
	ErrWorse = errors.New("slower than the stored report allows")
)

// Compare prints how the ratios of two reports differ. margin is the share by which a
// median may be worse; 0: only what is statistically sure is called a difference, and
// nothing fails. Unless anyMachine is set, reports of two machines are refused.
//
// What is compared is each subject's ratio to the first column, in the same round:
// times of two runs say more about the machine's mood than about the program.
//
// What no change here is to blame for is left out: the kernel's own column, and rows that
// are of the whole machine. Ratios that only one of the two has are counted, and
// whether the machine was too busy is said of both.
func Compare(w io.Writer, was, is bench.Report, margin float64, anyMachine bool) error {
	if err := Comparable(was, is, anyMachine); err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ratio of\twas\tis\tchange\t")
	worse, compared, alone := 0, 0, 0
	for _, row := range is.Rows {
		old, _ := was.Find(row.Name, row.Metric)
		for _, c := range judged(row) {
			before, ok := old.Column(c.Subject)
			if !ok {
				alone++
				continue
			}
			d := difference(before.Ratios(old.Columns[0]), c.Ratios(row.Columns[0]), row.LowerIsBetter, margin)
			compared++
			if d.failed {
				worse++
			}
			fmt.Fprintf(t, "%s, %s: %s\t%s\t%s\t%s\t%s\n", row.Name, row.Metric, c.Subject, number(d.was), number(d.is), d.change, d.verdict)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, row := range was.Rows {
		alone += len(judged(row))
	}
	if alone -= compared; alone > 0 {
		fmt.Fprintf(w, "%d more ratios are in one of the two reports only\n", alone)
	}
	fmt.Fprintf(w, "the stored report: %snow: %s", Belief(was), Belief(is))
	switch {
	case compared == 0:
		return fmt.Errorf("%w: the two have no row in common", bench.ErrReport)
	case worse > 0:
		return fmt.Errorf("%d of %d ratios: %w (%.0f %%)", worse, compared, ErrWorse, 100*margin)
	}
	return nil
}

// judged are the columns whose ratio to the first is this program's doing.
func judged(row bench.Row) (columns []bench.Column) {
	if row.MachineWide {
		return nil
	}
	for _, c := range row.Columns[1:] {
		if !c.IsKernel() {
			columns = append(columns, c)
		}
	}
	return columns
}

// Comparable says why two reports cannot be compared.
func Comparable(was, is bench.Report, anyMachine bool) error {
	switch {
	case was.Kind != is.Kind:
		return fmt.Errorf("%w: one is of 'bench %s', the other of 'bench %s'", bench.ErrReport, was.Kind, is.Kind)
	case was.Machine != is.Machine && !anyMachine:
		return fmt.Errorf("%w: %v; now %v", ErrOtherMachine, was.Machine, is.Machine)
	}
	return nil
}

type diff struct {
	was, is         float64
	change, verdict string
	failed          bool
}

// difference compares two samples of a ratio without assuming how they are spread.
func difference(was, is []float64, lowerIsBetter bool, margin float64) diff {
	if len(was) == 0 || len(is) == 0 {
		return diff{change: "-", verdict: "nothing to compare"}
	}
	th := &benchmath.DefaultThresholds
	a, b := benchmath.NewSample(was, th), benchmath.NewSample(is, th)
	c := benchmath.AssumeNothing.Compare(a, b)
	d := diff{was: bench.Summarise(was).Median, is: bench.Summarise(is).Median}
	gain, sure := gained(d.was, d.is, lowerIsBetter), c.P <= c.Alpha
	d.change = "-" // of nothing no share can be said
	if d.was > 0 {
		d.change = fmt.Sprintf("%+.1f %%", 100*(d.is/d.was-1))
	}
	switch {
	case margin > 0 && gain < -margin && (d.was > 0 || sure):
		d.verdict, d.failed = fmt.Sprintf("WORSE than the margin of %.0f %%", 100*margin), true
	case !sure:
		d.verdict = fmt.Sprintf("no difference (p=%.2f n=%d+%d)", c.P, len(was), len(is))
	case gain > 0:
		d.verdict = fmt.Sprintf("better (p=%.3f)", c.P)
	default:
		d.verdict = fmt.Sprintf("worse (p=%.3f)", c.P)
	}
	return d
}

// gained is the share by which a median is better, less than 0 if it is worse.
func gained(was, is float64, lowerIsBetter bool) float64 {
	switch {
	case was == is: // both may be 0
		return 0
	case lowerIsBetter:
		return was/is - 1
	}
	return is/was - 1
}
