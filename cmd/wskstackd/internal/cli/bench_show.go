package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/benchtext"
	"github.com/wskstack/wskstack/test/bench"
)

// reportText says what --json prints, for the help.
const reportText = `--json prints one object, which --compare and 'bench show' read: format (1), kind (the
command), machine (processor, cpus, memory_gib, kernel, congestion, go), rounds, seconds (of one
measurement, where that was set), foreign (the share of the processors that others
had meanwhile) and rows. A row has name (what was measured), metric, unit,
lower_is_better, machine_wide (true: others on the machine change it too, and it is not
compared) and columns, one for each subject; the others are compared with the
first. A column has subject and samples, one for each round.

Files of different machines are not compared, unless --any-machine is set: exit code
1, as for a ratio that is worse than --margin allows. A file that is no report, or of
another version: exit code 2.`

// showFlags are those of everything that shows a report.
type showFlags struct {
	compare    string
	margin     float64
	anyMachine bool
	plot       string
}

func (f *showFlags) addTo(fs *pflag.FlagSet) {
	fs.StringVar(&f.compare, "compare", "", "compare with the JSON of an earlier run, in this `file`")
	fs.Float64Var(&f.margin, "margin", 0, "with --compare: fail if a ratio is worse by more than this share, such as 0.3")
	fs.BoolVar(&f.anyMachine, "any-machine", false, "with --compare: allow a file from another machine")
	fs.StringVar(&f.plot, "plot", "", "draw the ratios into this `file`, an SVG image")
}

func (f *showFlags) check() error {
	switch {
	case !(f.margin >= 0): // nor what is no number
		return fmt.Errorf("--margin %v: it must not be negative", f.margin)
	case (f.margin > 0 || f.anyMachine) && f.compare == "":
		return errors.New("--margin and --any-machine need --compare FILE")
	case f.plot != "" && filepath.Ext(f.plot) != ".svg":
		return fmt.Errorf("--plot %s: it writes SVG, so the name has to end in .svg", f.plot)
	}
	return nil
}

// earlier reads the file to compare with; nil if there is none.
func (f *showFlags) earlier() (*bench.Report, error) {
	if f.compare == "" {
		return nil, nil
	}
	rep, err := readReport(f.compare)
	return &rep, err
}

func readReport(name string) (bench.Report, error) {
	file, err := os.Open(name)
	if err != nil {
		return bench.Report{}, err
	}
	defer file.Close()
	rep, err := bench.ReadReport(file)
	if err != nil {
		return rep, usageError{fmt.Errorf("%s: %w: make one with 'wskstackd bench throughput --json > FILE', for example", name, err)}
	}
	return rep, nil
}

// show prints a report and does what else was asked for.
func (f *showFlags) show(w io.Writer, rep bench.Report, earlier *bench.Report) error {
	show := benchtext.Report
	if rep.Kind == "table" {
		show = benchtext.Headline
	}
	if err := show(w, rep); err != nil {
		return err
	}
	return f.drawAndCompare(w, rep, earlier)
}

func (f *showFlags) drawAndCompare(w io.Writer, rep bench.Report, earlier *bench.Report) error {
	if f.plot != "" {
		if err := drawInto(f.plot, rep); err != nil {
			return badFile(err)
		}
	}
	if earlier == nil {
		return nil
	}
	fmt.Fprintln(w)
	return badFile(benchtext.Compare(w, *earlier, rep, f.margin, f.anyMachine))
}

// badFile makes the fault of a file that was given the caller's.
func badFile(err error) error {
	if errors.Is(err, bench.ErrReport) {
		return usageError{err}
	}
	return err
}

func drawInto(name string, rep bench.Report) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	err = benchtext.Plot(file, rep)
	return errors.Join(err, file.Close())
}

func newBenchShow(stdio IO) *cobra.Command {
	f := &showFlags{}
	cmd := &cobra.Command{
		Use:     "show FILE",
		Short:   "Show what an earlier run has measured",
		Example: "  wskstackd bench show table.json\n  wskstackd bench show after.json --compare before.json --plot after.svg",
		Long:    "FILE is the JSON of a bench command; it is shown as that command would have. Nothing is measured.",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return usageError{err}
			}
			rep, err := readReport(args[0])
			if err != nil {
				return err
			}
			earlier, err := f.earlier()
			if err != nil {
				return err
			}
			return f.show(stdio.Out, rep, earlier)
		},
	}
	f.addTo(cmd.Flags())
	return cmd
}
