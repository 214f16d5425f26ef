package benchtext

import (
	"fmt"
	"io"
	"strings"

	"github.com/wskstack/wskstack/test/bench"
)

// Headline prints the table of figures of a report of bench.Headline, in Markdown:
// what it was measured on, each figure with its goals and whether it reaches them,
// and how many do. The README has it as it is printed here.
func Headline(w io.Writer, r bench.Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%v. %s; %s.\n\n", r.Machine, rounds(r), strings.TrimSpace(Belief(r)))
	b.WriteString("| Figure | Goal | Aim | Measured: median [least-most] | Reached |\n|---|---|---|---|---|\n")
	var count [len(reachedTable)]int
	for _, f := range bench.Figures() {
		sign, unit := "≥", ""
		if f.Lower {
			sign = "≤"
		}
		if f.Unit != "" {
			unit = " " + f.Unit
		}
		measured, got := "not measured", bench.Neither
		if s, ok := f.Of(r); ok {
			measured, got = summary(s, max(f.Digits, usual))+unit, f.Reached(s.Median)
		}
		count[got]++
		fmt.Fprintf(&b, "| %s | %s %.4g%s | %s %.4g | %s | %s |\n", f.Name, sign, f.Reach, unit, sign, f.Aim, measured, reachedTable[got])
	}
	fmt.Fprintf(&b, "\nOf %d figures %d reach the aim, %d the goal alone, %d neither.\n",
		len(bench.Figures()), count[bench.ReachedAim], count[bench.ReachedGoal], count[bench.Neither])
	_, err := io.WriteString(w, b.String())
	return err
}

// reachedTable has the words for how far a figure gets.
var reachedTable = [...]string{bench.Neither: "**neither**", bench.ReachedGoal: "goal", bench.ReachedAim: "aim"}
