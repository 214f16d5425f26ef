package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"time"

	"github.com/spf13/cobra"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/benchtext"
	"github.com/wskstack/wskstack/test/bench"
	"github.com/wskstack/wskstack/test/netns"
)

// benchFlags are those of every bench command.
type benchFlags struct {
	showFlags
	rounds  int
	length  time.Duration
	peer    string
	asJSON  bool
	profile string
}

func newBench(stdio IO) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure this stack against the kernel on this machine",
		Example: `  wskstackd bench throughput
  wskstackd bench connect --peer naive --json > before.json
  wskstackd bench connect --peer naive --compare before.json
  wskstackd bench table --json > table.json
  wskstackd bench show table.json`,
		Long: `It makes namespaces of its own and measures, in turns, the kernel over a veth pair and
this stack over a TUN, both with the kernel's server at the other end. What counts is
the ratio within a round: times depend on the machine and its mood. It says when
others had too much of the processors to believe the result.

` + reportText,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, sub := range []*cobra.Command{
		newBenchThroughput(stdio), newBenchConnect(stdio), newBenchTTFB(stdio),
		newBenchIdle(stdio), newBenchLayers(stdio), newBenchTable(stdio),
	} {
		sub.Args = usageArgs(cobra.NoArgs)
		cmd.AddCommand(sub)
	}
	cmd.AddCommand(newBenchShow(stdio), newBenchGate(stdio))
	return cmd
}

// newBenchCommand is a command that makes a report; run gets its options.
func newBenchCommand(stdio IO, use, short, example string, length time.Duration,
	run func(ctx context.Context, f *benchFlags, o bench.Options) (bench.Report, error),
) (*cobra.Command, *benchFlags) {
	f := &benchFlags{}
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return usageError{err}
			}
			return runBench(cmd.Context(), use, f, stdio, run)
		},
	}
	fs := cmd.Flags()
	fs.IntVar(&f.rounds, "rounds", bench.DefaultRounds, "how often each is measured, in turns")
	if length > 0 {
		fs.DurationVar(&f.length, "for", length, "how long one measurement takes")
	}
	fs.BoolVar(&f.asJSON, "json", false, "print one JSON object on standard output")
	fs.StringVar(&f.profile, "cpuprofile", "", "write a processor profile for pprof to this `file`")
	f.addTo(fs)
	return cmd, f
}

func (f *benchFlags) check() error {
	switch {
	case f.rounds < 1:
		return fmt.Errorf("--rounds %d: 1 or more are needed, 5 or more make sense", f.rounds)
	case f.length < 0:
		return fmt.Errorf("--for %v: it must not be negative", f.length)
	case f.peer != "" && f.peer != peerNaive:
		return fmt.Errorf("--peer %q: the one that there is, is %q", f.peer, peerNaive)
	}
	return f.showFlags.check()
}

const peerNaive = "naive"

// addPeer gives a command the flag --peer.
func (f *benchFlags) addPeer(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.peer, "peer", "", `"naive" adds the naive link as a column: a queue, and one packet per system call`)
}

// runBench measures here, or in namespaces of its own by running this program once
// more, and shows the report.
func runBench(ctx context.Context, kind string, f *benchFlags, stdio IO, run func(context.Context, *benchFlags, bench.Options) (bench.Report, error)) error {
	if netns.InChild() == netns.NotChild {
		return inNamespace()
	}
	earlier, err := f.earlier()
	if err != nil {
		return err
	}
	if earlier != nil { // before minutes of measuring
		now := bench.Report{Kind: kind, Machine: bench.ThisMachine()}
		if err := benchtext.Comparable(*earlier, now, f.anyMachine); err != nil {
			return badFile(err)
		}
	}
	stop, err := startProfile(f.profile)
	if err != nil {
		return err
	}
	rep, err := run(ctx, f, bench.Options{Rounds: f.rounds, Progress: progress(stdio.Err)})
	endProgress(stdio.Err)
	if err := errors.Join(err, stop()); err != nil {
		return because(ctx, err)
	}
	return showBench(f, stdio, rep, earlier)
}

// because says why nothing was measured: what was asked for, or the end of ctx.
func because(ctx context.Context, err error) error {
	if errors.Is(err, bench.ErrOptions) {
		return usageError{err}
	}
	return errors.Join(context.Cause(ctx), err)
}

// progress says what is being done, where a person watches.
func progress(w io.Writer) func(string) {
	if !colours(w) {
		return nil
	}
	return func(what string) { fmt.Fprintf(w, "\r\x1b[K%s", what) }
}

// endProgress takes away what progress has said.
func endProgress(w io.Writer) {
	if colours(w) {
		fmt.Fprint(w, "\r\x1b[K")
	}
}

func startProfile(name string) (stop func() error, err error) {
	if name == "" {
		return func() error { return nil }, nil
	}
	file, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return file.Close()
	}, nil
}

// showBench shows what was measured just now.
func showBench(f *benchFlags, stdio IO, rep bench.Report, earlier *bench.Report) error {
	if !f.asJSON {
		return f.show(stdio.Out, rep, earlier)
	}
	if err := json.NewEncoder(stdio.Out).Encode(rep); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	fmt.Fprint(stdio.Err, "wskstackd: bench: ", benchtext.Belief(rep))
	return f.drawAndCompare(stdio.Err, rep, earlier)
}

// measureFor is how long one measurement takes unless --for says otherwise.
const measureFor = 1500 * time.Millisecond

func newBenchThroughput(stdio IO) *cobra.Command {
	var o bench.ThroughputOptions
	cmd, f := newBenchCommand(stdio, "throughput", "Bulk up and down, and its processor time",
		`  wskstackd bench throughput --mtu 1500,9000,65520
  wskstackd bench throughput --flows 1 --delay 25ms --congestion cubic --plot bulk.svg`, measureFor,
		func(ctx context.Context, f *benchFlags, bo bench.Options) (bench.Report, error) {
			o.For, o.Naive, o.RTT = f.length, f.peer == peerNaive, 2*o.RTT
			return bench.Throughput(ctx, bo, o)
		})
	fs := cmd.Flags()
	fs.IntSliceVar(&o.MTUs, "mtu", []int{bench.DefaultMTU}, fmt.Sprintf("MTUs in bytes, %d to %d", bench.MinMTU, bench.MaxMTU))
	fs.IntSliceVar(&o.Flows, "flows", []int{1, 4}, "how many connections at once")
	fs.DurationVar(&o.RTT, "delay", 0, "one-way delay; the kernel then goes over two TUN devices")
	addCongestion(cmd, &o.Congestion)
	f.addPeer(cmd)
	return cmd
}

func addCongestion(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "congestion", "", "congestion control of the kernel's sockets, such as cubic (default: this machine's)")
}

func newBenchConnect(stdio IO) *cobra.Command {
	var o bench.ConnectOptions
	cmd, f := newBenchCommand(stdio, "connect", "Set-ups a second and how long one takes, plain and with Fast Open",
		"  wskstackd bench connect --clients 1,16,64\n  wskstackd bench connect --json > connect.json", measureFor,
		func(ctx context.Context, f *benchFlags, bo bench.Options) (bench.Report, error) {
			o.For, o.Naive = f.length, f.peer == peerNaive
			return bench.Connect(ctx, bo, o)
		})
	cmd.Long = "One set-up is a connect, 100 bytes there, 100 bytes back, and the server closes first."
	cmd.Flags().IntSliceVar(&o.Clients, "clients", []int{1, 16}, "how many clients at once")
	f.addPeer(cmd)
	return cmd
}

func newBenchTTFB(stdio IO) *cobra.Command {
	var o bench.FirstByteOptions
	cmd, _ := newBenchCommand(stdio, "ttfb", "Time to the first byte of an answer, in round trips",
		"  wskstackd bench ttfb --rtt 20ms,100ms", 0,
		func(ctx context.Context, _ *benchFlags, bo bench.Options) (bench.Report, error) {
			return bench.TTFB(ctx, bo, o)
		})
	cmd.Flags().DurationSliceVar(&o.RTTs, "rtt", []time.Duration{20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond}, "round trip times")
	return cmd
}

func newBenchIdle(stdio IO) *cobra.Command {
	var o bench.IdleOptions
	cmd, _ := newBenchCommand(stdio, "idle", "Memory and goroutines of idle connections",
		"  wskstackd bench idle --connections 1000 --rounds 1", 0,
		func(ctx context.Context, _ *benchFlags, bo bench.Options) (bench.Report, error) {
			return bench.IdleCost(ctx, bo, o)
		})
	cmd.Flags().IntVar(&o.Connections, "connections", 10000, "how many")
	return cmd
}

func newBenchLayers(stdio IO) *cobra.Command {
	var o bench.LayerOptions
	cmd, _ := newBenchCommand(stdio, "layers", "What each layer above netstack costs",
		"  wskstackd bench layers --cpuprofile cpu.pprof", measureFor,
		func(ctx context.Context, f *benchFlags, bo bench.Options) (bench.Report, error) {
			o.For = f.length
			return bench.LayerCost(ctx, bo, o)
		})
	addCongestion(cmd, &o.Congestion)
	return cmd
}

func newBenchTable(stdio IO) *cobra.Command {
	var o bench.HeadlineOptions
	cmd, _ := newBenchCommand(stdio, "table", "All figures of the README's table, in Markdown",
		"  wskstackd bench table --json > table.json", measureFor,
		func(ctx context.Context, f *benchFlags, bo bench.Options) (bench.Report, error) {
			o.For = f.length
			return bench.Headline(ctx, bo, o)
		})
	cmd.Flags().IntVar(&o.Connections, "connections", 10000, "how many idle connections")
	return cmd
}
