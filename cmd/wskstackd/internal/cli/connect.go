package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/netcat"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/report"
)

func newConnect(stdio IO) *cobra.Command {
	var o netcat.Options
	var f talkFlags
	cmd := &cobra.Command{
		Use:   "connect HOST:PORT",
		Short: "Connect standard input and output to a TCP peer, first bytes in the SYN",
		Example: `  printf 'GET / HTTP/1.0\r\n\r\n' | wskstackd connect 192.0.2.1:80
  printf 'ping\n' | wskstackd connect --repeat 2 --json '[2001:db8::1]:7'
  wskstackd connect --netns /run/netns/blue --fast-open=false 10.0.0.1:22`,
		Long: fmt.Sprintf(`It sends standard input to the peer and prints what comes back, as netcat does. What
is there on standard input within --wait rides in the SYN (TCP Fast Open, RFC 7413),
once a cookie of that server is known: cookies live as long as this process, so use
--repeat to see one used. Those bytes may arrive twice where a network duplicates a SYN;
--fast-open=false sends them after the handshake.

At the end of standard input it closes its side and goes on reading; it ends when the
peer has closed its own. A name's first address of the wanted family is used.

The connection comes from a TCP stack in this program, which joins the host's network
through a TUN device (this needs CAP_NET_ADMIN), or with --netns that of another
namespace. It has an address of its own on a small network between it and the host.
So it reaches the host's own addresses, the loopback address apart. Other hosts it reaches
only if this host forwards (net.ipv4.ip_forward, net.ipv6.conf.all.forwarding) and
translates or routes that network; that is left to you. The device is gone when the
command ends, however it ends; one that was there before is left as it was found.

With --json one object for each connection goes to standard output, with the fields of a
run of the demo; round_trips is the time to the first byte divided by that of the
handshake, and 0 where that took less than %v, as within one machine: there it would say
nothing of the path. What the peer sends is then dropped, unless --output names a file.

The end of a connection is waited for, %v at the most.`, report.MinRoundTrip, netcat.CloseLimit),
		Args: oneTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Target = args[0]
			if err := f.place(&o.Place); err != nil {
				return err
			}
			return runConnect(cmd.Context(), o, f, stdio)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.FastOpen, "fast-open", true, "put the first bytes of standard input into the SYN")
	flags.DurationVar(&o.Wait, "wait", netcat.DefaultWait, "how long to wait for these bytes before connecting without")
	flags.IntVar(&o.Repeat, "repeat", 1, "make `N` connections in turn, each with all of standard input")
	flags.DurationVar(&o.Timeout, "timeout", netcat.DefaultTimeout, "how long the connect may take")
	f.register(cmd, &o.Place, "address family, 4 or 6; 0: the first that the name has")
	return cmd
}

// runConnect opens everything, runs, and closes everything.
func runConnect(ctx context.Context, o netcat.Options, f talkFlags, stdio IO) (err error) {
	if err := o.Check(); err != nil {
		return err
	}
	if closed(stdio.In) {
		return usagef("standard input is closed: pipe the request in, or redirect it from a file ('</dev/null' only to receive)")
	}
	out, closeOut, err := answerTo(f, stdio)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeOut()) }()
	s, err := netcat.Open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if f.verbose {
		fmt.Fprintf(stdio.Err, "connect: %v\n", s)
	}
	return s.Run(ctx, stdio.In, out, func(run report.Run) error {
		if f.verbose {
			fmt.Fprintf(stdio.Err, "connect: %s\n", happened(run))
		}
		if f.json {
			return json.NewEncoder(stdio.Out).Encode(run)
		}
		return nil
	})
}

// oneTarget checks the arguments of connect.
func oneTarget(cmd *cobra.Command, args []string) error {
	switch len(args) {
	case 0:
		return fmt.Errorf("the peer's HOST:PORT is missing: write '%s'", cmd.UseLine())
	case 1:
		return nil
	}
	return fmt.Errorf("%d arguments instead of one HOST:PORT (host and port are joined by a colon): write '%s'", len(args), cmd.UseLine())
}

// happened is a connection in words.
func happened(run report.Run) string {
	text := fmt.Sprintf("%d bytes, %d in the SYN, %d accepted", run.Bytes, run.BytesInSYN, run.BytesAcceptedInSYN)
	if run.TTFBms > 0 {
		text += fmt.Sprintf(", first byte of the answer after %.3f ms", run.TTFBms)
	}
	if run.RoundTrips > 0 {
		text += fmt.Sprintf(", %d times the handshake", run.RoundTrips)
	}
	if run.Reason != "" {
		text += " (" + run.Reason + ")"
	}
	return text
}

// answerTo is where what the peer sends goes.
func answerTo(f talkFlags, stdio IO) (io.Writer, func() error, error) {
	switch {
	case f.output != "":
		file, err := os.Create(f.output)
		if err != nil {
			return nil, nil, fmt.Errorf("the answer cannot be written, choose another file for --output: %w", err)
		}
		return file, file.Close, nil
	case f.json:
		return io.Discard, func() error { return nil }, nil
	}
	return stdio.Out, func() error { return nil }, nil
}

// closed says whether standard input was closed when the program began. Go's
// runtime puts /dev/null in its place, open for writing too, which nobody does who
// redirects it.
func closed(in *os.File) bool {
	var st unix.Stat_t
	if unix.Fstat(int(in.Fd()), &st) != nil {
		return true
	}
	const null = 1<<8 | 3 // its device number, Documentation/admin-guide/devices.txt
	flags, err := unix.FcntlInt(in.Fd(), unix.F_GETFL, 0)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == null && flags&unix.O_ACCMODE == unix.O_RDWR
}
