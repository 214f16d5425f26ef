package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/demo"
	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/netns"
)

func newDemo(stdio IO) *cobra.Command {
	o := demo.Options{}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show connects whose first bytes leave in the SYN, and prove it",
		Example: `  wskstackd demo
  wskstackd demo --json | jq '.runs[] | {name, ttfb_ms, round_trips}'
  wskstackd demo --family 6 --delay 100ms --pcap fastopen.pcapng
  wskstackd demo --wire memory`,
		Long: `It connects through a wire that it makes for itself, with a delay on it, and shows
every packet, the time to the first byte of the answer, and the peer's own counters.
It takes the best wire that it may use:

  tun     a TUN device in a network namespace of its own, the Linux kernel as the peer:
          as root, or in a user namespace where /dev/net/tun may be opened; then it is
          reported as "userns-tun", which --wire takes for tun
  veth    a veth pair and a packet socket there, the Linux kernel as the peer
  memory  two stacks in memory; the peer is this stack's own other half

The runs: connect-then-send, cookie-request, fast-open, fast-open-large,
syn-data-dropped, cancel, and server-fast-open, in which the peer is the client and this
stack reads what came in its SYN before the handshake is over. A run whose time is
claimed is made at least 3 times, up to 10 on a busy machine, and the fastest is shown,
since the machine can only add to the time that the protocol takes. Round trips are that
time divided by twice the delay, rounded. It ends with a verdict, and with exit code 1 if
a claim is false.

Nothing of this machine's own network is touched, and nothing is left behind.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Check(); err != nil {
				return usageError{err}
			}
			return runDemo(cmd.Context(), o, asJSON, stdio)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Wire, "wire", demo.Auto, "auto, tun (or userns-tun, which is the same), veth or memory")
	f.IntVar(&o.Family, "family", 4, "address family, 4 or 6")
	f.DurationVar(&o.Delay, "delay", demo.DefaultDelay, fmt.Sprintf("one-way delay, %v to %v", demo.MinDelay, demo.MaxDelay))
	f.StringVar(&o.Pcap, "pcap", "", "write the packets below the Fast Open layer to this pcapng `file`")
	f.BoolVar(&asJSON, "json", false, "print one JSON object on standard output")
	return cmd
}

// runDemo runs the demo here, or in a namespace of its own by running this program
// once more.
func runDemo(ctx context.Context, o demo.Options, asJSON bool, stdio IO) error {
	var barred error
	if o.NeedsNamespace() && netns.InChild() == netns.NotChild {
		barred = inNamespace()
		if child := childExit(0); barred == nil || errors.As(barred, &child) {
			return barred
		}
	}
	var to demo.Listener = &demo.Text{W: stdio.Out}
	if asJSON {
		to = talk{stdio.Err}
	} else if colours(stdio.Out) {
		to = &demo.Text{W: stdio.Out, Bold: paint("1"), Good: paint("32"), Bad: paint("1;31")}
	}
	result, err := demo.Run(ctx, o, barred, to)
	if err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	if asJSON {
		if err := json.NewEncoder(stdio.Out).Encode(result); err != nil {
			return fmt.Errorf("writing the result: %w", err)
		}
	}
	if !result.OK {
		return errClaimsFalse
	}
	return nil
}

// talk tells people what a program reads from standard output: little.
type talk struct{ w io.Writer }

// Began implements demo.Listener.
func (t talk) Began(s demo.Setting) {
	fmt.Fprintf(t.w, "demo: wire %s (%s), peer %s\n", s.Wire, s.Why, s.Peer)
}

// Ran implements demo.Listener.
func (talk) Ran(demo.Shown) {}

// Ended implements demo.Listener.
func (t talk) Ended(claims []demo.Claim, _ kernelpeer.Counters) {
	for _, c := range claims {
		if !c.True {
			fmt.Fprintf(t.w, "demo: FALSE: %s\n", c.Text)
		}
	}
}
