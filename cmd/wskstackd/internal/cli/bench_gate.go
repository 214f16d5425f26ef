package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/benchtext"
	"github.com/wskstack/wskstack/test/bench"
	"github.com/wskstack/wskstack/test/netns"
)

type gateFlags struct{ update, asJSON bool }

func newBenchGate(stdio IO) *cobra.Command {
	f := &gateFlags{}
	cmd := &cobra.Command{
		Use:     "gate FILE",
		Short:   "Fail if this stack has become slower than the ratios in a file",
		Example: "  wskstackd bench gate test/bench/gate.json\n  wskstackd bench gate --update test/bench/gate.json",
		Long: fmt.Sprintf(`It measures ratios to the kernel and to netstack alone, and counts, in short rounds,
and compares them with those of the file. Each has a margin that is wider than its
noise. Where one is out of it, or where others had more than %.0f %% of the processors,
it is measured again, up to %d times in all, and is worse only if it was so each
time, on a busy machine by %d times the margin. Better ones never fail.

A round's ratios hold on another machine of the same kind too (processor, number of
processors, the kernel's default congestion control). On another kind only what is
counted is judged: allocations, memory, round trips.

--json prints one object: format (1), kind ("gate"), machine, stored_on (the file's
machine), foreign (for each suite and attempt the share that others had of the
processors), passed, and figures: figure, lower_is_better, margin, stored, limit,
measured (each attempt's median) and outcome ("good", "better", "worse",
"not measured" or "not judged"). FILE itself has format, kind, machine, foreign and
figures.

Exit code 1: a ratio is worse each time, or with --update: the machine was too busy.
Exit code 2: the file is none of this program's.`, 100*bench.Quiet, bench.Attempts, bench.BusyFactor),
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.update && f.asJSON {
				return usagef("--update writes a file and shows no verdict: leave --json out")
			}
			var stored bench.Ratios
			if !f.update { // before anything is measured
				var err error
				if stored, err = readRatios(args[0]); err != nil {
					return err
				}
			}
			if netns.InChild() == netns.NotChild {
				return inNamespace()
			}
			measure := func(suite string) (bench.Report, error) {
				rep, err := bench.MeasureGate(cmd.Context(), bench.Options{Progress: progress(stdio.Err)}, suite)
				endProgress(stdio.Err)
				if err != nil {
					return rep, because(cmd.Context(), err)
				}
				return rep, nil
			}
			if f.update {
				return updateGate(args[0], measure)
			}
			return runGate(stdio, stored, f.asJSON, measure)
		},
	}
	cmd.Flags().BoolVar(&f.update, "update", false, fmt.Sprintf("write the file anew, from %d measurements", bench.Attempts))
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print one JSON object on standard output")
	return cmd
}

// gateMeasure measures one suite.
type gateMeasure func(suite string) (bench.Report, error)

func runGate(stdio IO, stored bench.Ratios, asJSON bool, measure gateMeasure) error {
	gate := bench.NewGate(stored)
	for suites := gate.Next(); len(suites) > 0; suites = gate.Next() {
		for _, suite := range suites {
			if why := gate.Why(suite); why != "" {
				fmt.Fprintf(stdio.Err, "wskstackd: bench: %s is measured again: %s\n", suite, why)
			}
			if err := addTo(gate, suite, measure); err != nil {
				return err
			}
		}
	}
	result := gate.Result()
	if asJSON {
		if err := json.NewEncoder(stdio.Out).Encode(result); err != nil {
			return fmt.Errorf("writing the verdict: %w", err)
		}
		return benchtext.Gate(stdio.Err, result)
	}
	return benchtext.Gate(stdio.Out, result)
}

func addTo(gate *bench.Gate, suite string, measure gateMeasure) error {
	rep, err := measure(suite)
	if err == nil {
		gate.Add(rep)
	}
	return err
}

func readRatios(name string) (bench.Ratios, error) {
	file, err := os.Open(name)
	if err != nil {
		return bench.Ratios{}, err
	}
	defer file.Close()
	stored, err := bench.ReadRatios(file)
	if err != nil {
		return stored, usageError{fmt.Errorf("%s: %w: make it anew with 'wskstackd bench gate --update %s'", name, err, name)}
	}
	return stored, nil
}

// updateGate writes the file as a whole or not at all.
func updateGate(name string, measure gateMeasure) error {
	gate := bench.NewGate(bench.Ratios{})
	for suites := gate.Gather(); len(suites) > 0; suites = gate.Gather() {
		for _, suite := range suites {
			if err := addTo(gate, suite, measure); err != nil {
				return err
			}
		}
	}
	ratios, err := gate.Ratios()
	if err != nil {
		return fmt.Errorf("%w; %s is as it was", err, name)
	}
	var text bytes.Buffer
	if err := ratios.Write(&text); err != nil {
		return err
	}
	fresh := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".new")
	if err := os.WriteFile(fresh, text.Bytes(), 0o644); err != nil {
		return err
	}
	return os.Rename(fresh, name)
}
