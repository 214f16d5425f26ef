package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/netcat"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/wskrun"
	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/scenario"
	"github.com/wskstack/wskstack/wsk/verifier"
)

// errScenariosFailed ends wsk run; what failed has been printed.
var errScenariosFailed = errors.New("not all scenarios passed, see above")

func newWSK(stdio IO) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "wsk",
		Short: "Run scenarios of Winsock Kernel calls, and explain its codes",
		Example: `  wskstackd wsk list
  wskstackd wsk run connectex-fastopen --timeline
  wskstackd wsk run --builtin --junit wsk.xml
  wskstackd wsk explain STATUS_FILE_FORCED_CLOSED`,
		Long: `A scenario is a list of WSK calls and of what has to come out of them: how a driver's
network half behaves, with every IRP accounted for. SCENARIOS.md has the form of the files.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, sub := range []*cobra.Command{newWSKRun(stdio), newWSKList(stdio), newWSKExplain(stdio)} {
		sub.Args = usageArgs(sub.Args)
		cmd.AddCommand(sub)
	}
	return cmd
}

// wskFlags are those of wsk run.
type wskFlags struct {
	builtin, json, timeline bool
	peer, junit             string
	completion, verifier    string
	faults                  []string
	failNth                 int
	seed                    uint64
	family                  int
	netns                   string
}

func newWSKRun(stdio IO) *cobra.Command {
	var f wskFlags
	cmd := &cobra.Command{
		Use:   "run [SCENARIO...]",
		Short: "Run scenarios, built-in ones or files",
		Example: `  wskstackd wsk run connectex-fastopen --timeline
  wskstackd wsk run my-driver.yaml --completion random --seed 7
  wskstackd wsk run --builtin --peer kernel --junit wsk.xml
  wskstackd wsk run connect-send-receive --peer 192.0.2.1:7`,
		Long: `SCENARIO is the name of a built-in scenario ('wskstackd wsk list'), or a YAML file: a name
with a '/' or ending in .yaml or .yml. --builtin runs all that are built in.

The peer is

  sim        this stack's other half on a simulated wire, in virtual time: nothing is
             real but the stack. It needs no privilege, takes no time to speak of, and
             the same --seed gives the same time line
  kernel     the Linux kernel, in a network namespace of the program's own: as root, or
             where ordinary users may have namespaces
  HOST:PORT  a service that is there, reached as 'wskstackd connect' does; scenarios
             whose steps play the peer's part are then skipped

A scenario ends with the first step that does not come out as expected. Then, and with
--timeline, its IRP time line is printed. The exit code is 1 if a scenario failed, or if
the verifier has reported what the scenario does not name, or not what it does.

With --fault or --low-resources what is expected need not come out, and the scenario may
end early. What has to hold all the same: each IRP completes once, nothing is left, and
the verifier has nothing to report.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := f.scenarios(args, stdio.Err)
			if err != nil {
				return err
			}
			o, err := f.options(cmd)
			if err != nil {
				return err
			}
			return runWSK(cmd.Context(), o, list, f, stdio)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.builtin, "builtin", false, "run every built-in scenario")
	flags.StringVar(&f.peer, "peer", wskrun.PeerSim, "sim, kernel or `HOST:PORT`")
	flags.IntVar(&f.family, "family", 4, "address family, 4 or 6; of HOST:PORT the first that the name has, unless given")
	flags.StringVar(&f.completion, "completion", "", "later, inline or random, whatever the scenario says")
	flags.StringVar(&f.verifier, "verifier", "", "what becomes of misuse: report, stop, count or off, whatever the scenario says")
	flags.StringSliceVar(&f.faults, "fault", nil, "disturb the client in legal ways: "+strings.Join(scenario.FaultNames(), ", "))
	flags.IntVar(&f.failNth, "low-resources", 0, "let the `N`-th request that needs resources fail")
	flags.Uint64Var(&f.seed, "seed", scenario.DefaultSeed, "of everything random, whatever the scenario says")
	flags.StringVar(&f.netns, "netns", "", "with HOST:PORT: join the network namespace at `PATH` instead of the own one")
	flags.BoolVar(&f.timeline, "timeline", false, "print the IRP time line of every scenario")
	flags.StringVar(&f.junit, "junit", "", "write a JUnit report to `FILE`")
	flags.BoolVar(&f.json, "json", false, "print one JSON object on standard output")
	return cmd
}

// scenarios are those that the arguments name.
func (f *wskFlags) scenarios(args []string, talk io.Writer) ([]*scenario.Scenario, error) {
	builtin, err := scenario.Builtin()
	if err != nil {
		return nil, err
	}
	byName := map[string]*scenario.Scenario{}
	for _, s := range builtin {
		byName[s.Name] = s
	}
	var list []*scenario.Scenario
	if f.builtin {
		list = builtin
	}
	for _, arg := range args {
		if s, ok := byName[arg]; ok {
			list = append(list, s)
			continue
		}
		if !strings.Contains(arg, "/") && filepath.Ext(arg) != ".yaml" && filepath.Ext(arg) != ".yml" {
			return nil, usagef("there is no built-in scenario %q: 'wskstackd wsk list' lists them; a file ends in .yaml or has a '/' in its name", arg)
		}
		s, err := load(arg, talk)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	if len(list) == 0 {
		return nil, usagef("nothing to run: name scenarios or files, or give --builtin")
	}
	return list, nil
}

// load reads a file. What is wrong with it is shown with the lines around it.
func load(file string, talk io.Writer) (*scenario.Scenario, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, usagef("the scenario cannot be read: %w", err)
	}
	s, err := scenario.Parse(file, text)
	var wrong *scenario.Error
	if errors.As(err, &wrong) {
		fmt.Fprintln(talk, wrong.Excerpt)
		return nil, usagef("%s", wrong.Summary())
	}
	return s, err
}

// options puts the flags together.
func (f *wskFlags) options(cmd *cobra.Command) (wskrun.Options, error) {
	o := wskrun.Options{Peer: f.peer, Family: f.family}
	if f.peer != wskrun.PeerSim && f.peer != wskrun.PeerKernel {
		o.Peer = wskrun.PeerHost
		if !cmd.Flags().Changed("family") {
			o.Family = 0
		}
		o.Host = netcat.Options{
			Target: f.peer, Repeat: 1, Timeout: netcat.DefaultTimeout,
			Place: netcat.Place{Family: o.Family, Namespace: f.netns},
		}
	} else if f.netns != "" {
		return o, usagef("--netns goes with --peer HOST:PORT")
	}
	override, err := f.override(cmd.Flags().Changed("seed"))
	if err != nil {
		return o, usageError{err}
	}
	o.Override = override
	if err := o.Check(); err != nil {
		return o, usageError{err}
	}
	return o, nil
}

// override is what the flags make of a scenario's own knobs.
func (f *wskFlags) override(seeded bool) (func(*scenario.Knobs), error) {
	completion, err := scenario.ParseCompletion(cmp.Or(f.completion, "later"))
	if err != nil {
		return nil, err
	}
	policy, err := scenario.ParsePolicy(cmp.Or(f.verifier, "report"))
	if err != nil {
		return nil, err
	}
	faults, err := scenario.ParseFaults(f.faults)
	if err != nil {
		return nil, err
	}
	if f.failNth < 0 {
		return nil, fmt.Errorf("--low-resources %d: requests are counted from 1", f.failNth)
	}
	faults.FailNth = f.failNth
	return func(k *scenario.Knobs) {
		if f.completion != "" {
			k.Completion = completion
		}
		if f.verifier != "" {
			k.Verifier = policy
		}
		if faults != (scenario.Faults{}) {
			k.Faults = faults
		}
		if seeded {
			k.Seed = f.seed
		}
	}, nil
}

// wskReport is the JSON of wsk run.
type wskReport struct {
	Scenarios []scenario.Result `json:"scenarios"`
	OK        bool              `json:"ok"`
}

// runWSK runs scenarios here, or in a namespace of its own by running this program
// once more.
func runWSK(ctx context.Context, o wskrun.Options, list []*scenario.Scenario, f wskFlags, stdio IO) error {
	if o.NeedsNamespace() && netns.InChild() == netns.NotChild {
		return inNamespace()
	}
	all := wskReport{OK: true, Scenarios: []scenario.Result{}}
	err := wskrun.Run(ctx, o, list, func(r scenario.Result) error {
		all.Scenarios = append(all.Scenarios, r)
		all.OK = all.OK && r.OK
		if f.json {
			return nil
		}
		return r.WriteText(stdio.Out, f.timeline)
	})
	if err == nil && f.json {
		err = json.NewEncoder(stdio.Out).Encode(all)
	}
	if f.junit != "" {
		err = errors.Join(err, writeJUnit(f.junit, all.Scenarios))
	}
	if err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	if !all.OK {
		return errScenariosFailed
	}
	return nil
}

func writeJUnit(name string, results []scenario.Result) error {
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("the report cannot be written, choose another file for --junit: %w", err)
	}
	return errors.Join(scenario.WriteJUnit(file, results), file.Close())
}

func newWSKList(stdio IO) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the built-in scenarios",
		Example: "  wskstackd wsk list\n  wskstackd wsk list --json | jq -r '.[].name'",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			list, err := scenario.Builtin()
			if err != nil {
				return err
			}
			type entry struct {
				Name    string   `json:"name"`
				Title   string   `json:"title"`
				Steps   int      `json:"steps"`
				Reports []string `json:"reports,omitempty"`
			}
			out := []entry{}
			for _, s := range list {
				out = append(out, entry{s.Name, s.Title, s.Steps(), s.Reports})
			}
			if asJSON {
				return json.NewEncoder(stdio.Out).Encode(out)
			}
			for _, e := range out {
				if _, err := fmt.Fprintf(stdio.Out, "%-24s %s\n", e.Name, e.Title); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON array on standard output")
	return cmd
}

func newWSKExplain(stdio IO) *cobra.Command {
	return &cobra.Command{
		Use:   "explain CODE...",
		Short: "Explain a status, by name or value, or a rule of the verifier",
		Example: `  wskstackd wsk explain STATUS_CANCELLED
  wskstackd wsk explain 0xC0000236 S2`,
		Long: `A status has a name (STATUS_PENDING, or pending) and a value (0x103); wsk/VERIFIER.md lists
the rules.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			for i, arg := range args {
				text, ok := explain(arg)
				if !ok {
					return usagef("there is no code %q: a status has a name (STATUS_PENDING) or a value (0xC0000120), a rule of the verifier an ID (S2)", arg)
				}
				if i > 0 {
					text = "\n" + text
				}
				if _, err := fmt.Fprintln(stdio.Out, text); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// explain is a code in a paragraph.
func explain(code string) (string, bool) {
	if s, ok := ntstatus.Parse(code); ok {
		return wrapped(s.Explain()), true
	}
	rule, ok := verifier.Explain(code)
	if !ok {
		return "", false
	}
	text := fmt.Sprintf("%s: %s (as %s). ", rule.ID, rule.Misuse, rule.Anchor)
	if !rule.Checked() {
		return wrapped(text + "It means nothing here, and is not checked: " + rule.NotInGo + "."), true
	}
	return wrapped(text + rule.Explanation + " Found by: " + rule.Detection + "."), true
}

// wrapped breaks a paragraph into lines.
func wrapped(text string) string {
	const width = 80
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i > 0 && column+1+len(word) > width:
			b.WriteByte('\n')
			column = 0
		case i > 0:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}
