package benchtext

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/wskstack/wskstack/test/bench"
)

// ErrGate says that a figure was out of its margin each time.
var ErrGate = errors.New("slower than the gate allows")

// Gate prints what the gate says of each figure. The error is ErrGate if it did not
// pass.
func Gate(w io.Writer, r bench.GateResult) error {
	var table bytes.Buffer
	fmt.Fprintf(&table, "gate: %v\n", r.Machine)
	switch {
	case !r.Machine.SameKind(r.Stored):
		fmt.Fprintf(&table, "stored on: %v\nThat is ANOTHER KIND OF MACHINE, so only what is counted is judged. For the rest, store the ratios of the version before\n"+
			"the change on this machine (--update), and compare with those.\n", r.Stored)
	case r.Machine != r.Stored:
		fmt.Fprintf(&table, "stored on: %v\n", r.Stored)
	}
	t := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nratio\tstored\tlimit\tmeasured\tverdict")
	failed := 0
	for _, v := range r.Figures {
		sign := "≥"
		if v.LowerIsBetter {
			sign = "≤"
		}
		fmt.Fprintf(t, "%s\t%s\t%s %s\t%s\t%s\n", v.Figure, number(v.Stored), sign, number(v.Limit), attempts(v), verdict(v))
		if v.Failed() {
			failed++
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	table.WriteString("\nthe share that others had of the processors, for each attempt: " + foreign(r) + "\n")
	if _, err := table.WriteTo(w); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d ratios, each time: %w", failed, len(r.Figures), ErrGate)
	}
	return nil
}

func attempts(v bench.Verdict) string {
	all := make([]string, 0, len(v.Measured))
	for _, x := range v.Measured {
		all = append(all, number(x))
	}
	return strings.Join(all, " ")
}

func verdict(v bench.Verdict) string {
	switch {
	case v.Failed():
		return strings.ToUpper(v.Outcome)
	case v.Outcome == bench.OutcomeBetter:
		return "better than the margin: store it, so that it is held"
	}
	return v.Outcome
}

func foreign(r bench.GateResult) string {
	var all []string
	for _, suite := range slices.Sorted(maps.Keys(r.Foreign)) {
		text := suite
		for _, share := range r.Foreign[suite] {
			text += fmt.Sprintf(" %.0f %%", 100*share)
			if share > bench.Quiet {
				text += " (too busy)"
			}
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}
