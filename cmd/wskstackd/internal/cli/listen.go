package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/netcat"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/report"
	"github.com/wskstack/wskstack/stack/fastopen"
)

// listenFlags are what the listener itself has no use for.
type listenFlags struct {
	talkFlags
	echo bool
	exec string
	http string
	keys string
	keep bool
}

func newListen(stdio IO) *cobra.Command {
	var o netcat.ListenOptions
	var f listenFlags
	cmd := &cobra.Command{
		Use:   "listen [HOST]:PORT",
		Short: "Listen for TCP connections and accept the first bytes in their SYNs",
		Example: `  wskstackd listen :7777 </dev/null
  wskstackd listen --echo --verbose :7
  wskstackd listen --http /srv/www --fast-open-key @/proc/sys/net/ipv4/tcp_fastopen_key 10.9.0.2:80
  wskstackd listen --netns /run/netns/blue --exec 'tr a-z A-Z' :0`,
		Long: fmt.Sprintf(`It is the other end of connect. A connection's bytes go to standard output and standard
input to the connection, as with netcat; it ends when both sides have closed theirs. The
end of standard input closes this side. One connection is served; with --keep, or
--repeat, one after the other, and each gets all of standard input. Or it serves each of
many connections in one of these ways, until it is stopped:

  --echo       what comes is sent back
  --exec CMD   /bin/sh runs CMD with the connection as standard input and output;
               TCPREMOTEIP, TCPREMOTEPORT, TCPLOCALIP and TCPLOCALPORT say whose it is
  --http DIR   the files below DIR are served

Clients may send their first bytes in the SYN (TCP Fast Open, RFC 7413): they are read,
and may be answered, before the handshake is over. A network that duplicates a SYN may
make that happen twice, although a duplicate is dropped for some minutes;
--fast-open=false refuses it. Cookies are made with fresh keys, unless --fast-open-key
gives those of others: one key or two, in the form of Linux's net.ipv4.tcp_fastopen_key,
or @FILE with them, which keeps them out of the list of processes.

The connections come to a TCP stack in this program, which joins the host's network
through a TUN device (this needs CAP_NET_ADMIN), or with --netns that of another
namespace. HOST is an address of that stack, which nobody else may have; the host gets a
route to it. Without HOST, and with [::], it is the next one after the host's on a small
network between the two, of each address family; 0.0.0.0 is IPv4 alone. A line on standard
error says which. The host reaches it at once, other hosts only if this one forwards and
they have a route. The device is gone when the command ends, however it ends.

With --json one object for each connection goes to standard output, with remote, family,
bytes_received, bytes_sent, bytes_in_syn, bytes_accepted_in_syn, fast_open, reason (why not:
not-asked, cookie-requested, bad-cookie, too-many-pending, replay-dropped, not-taken, off)
and error. What comes is then dropped, unless --output names a file.

An interrupt or SIGTERM ends it in good order: nothing more is accepted, commands get
SIGTERM, what was sent is delivered, for %v at the most; a second one ends it at once.`, netcat.CloseLimit),
		Args: oneAddress,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Address = args[0]
			if err := f.complete(cmd, &o); err != nil {
				return err
			}
			return runListen(cmd.Context(), o, f, stdio)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.echo, "echo", false, "send back what comes")
	flags.StringVar(&f.exec, "exec", "", "run `CMD` for each connection")
	flags.StringVar(&f.http, "http", "", "serve the files below `DIR`")
	flags.BoolVar(&o.FastOpen, "fast-open", true, "accept data in SYNs")
	flags.StringVar(&f.keys, "fast-open-key", "", "make cookies with `KEYS`, KEY[,BACKUP] as in net.ipv4.tcp_fastopen_key, or @FILE")
	flags.IntVar(&o.Pending, "fast-open-pending", netcat.DefaultPending, "let `N` connections be open before their client's ACK")
	flags.IntVar(&o.Repeat, "repeat", 1, "end after `N` connections; 0, the default with --echo, --exec and\n--http: when stopped")
	flags.BoolVarP(&f.keep, "keep", "k", false, "go on until stopped, as --repeat 0")
	flags.IntVar(&o.MaxConnections, "max-connections", netcat.DefaultMaxConnections, "serve `N` at a time; with standard input and output it is one")
	flags.IntVar(&o.Backlog, "backlog", netcat.DefaultBacklog, "let `N` wait to be served")
	flags.DurationVar(&o.Idle, "idle", netcat.DefaultIdle, "end a connection on which nothing moves so long; 0: no limit")
	f.register(cmd, &o.Place, "address family, 4 or 6; 0: both, or that of HOST")
	return cmd
}

// complete fills in what the flags mean together.
func (f *listenFlags) complete(cmd *cobra.Command, o *netcat.ListenOptions) error {
	if err := f.place(&o.Place); err != nil {
		return err
	}
	given := cmd.Flags().Changed
	services := 0
	for _, name := range []string{"echo", "exec", "http"} {
		if given(name) {
			services++
		}
	}
	switch {
	case services > 1:
		return usagef("--echo, --exec and --http exclude one another: give one of them")
	case f.keep && given("repeat"):
		return usagef("--keep and --repeat exclude one another: --keep is --repeat 0")
	case given("exec"):
		o.Service, o.Command = netcat.Exec, f.exec
	case given("http"):
		o.Service, o.Dir = netcat.HTTP, f.http
	case f.echo:
		o.Service = netcat.Echo
	}
	if o.Service != netcat.Stdio && f.output != "" {
		return usagef("--output is for what comes without --echo, --exec and --http: leave it out")
	}
	if f.keep || o.Service != netcat.Stdio && !given("repeat") {
		o.Repeat = netcat.UntilStopped
	}
	if f.keys == "" {
		if given("fast-open-key") {
			return usagef("--fast-open-key: it is empty; write a key, or @FILE")
		}
		return nil
	}
	keys, err := readKeys(f.keys)
	o.Keys = keys
	return err
}

// readKeys reads the value of --fast-open-key. Errors do not repeat it.
func readKeys(value string) (*fastopen.Keys, error) {
	if file, named := strings.CutPrefix(value, "@"); named {
		text, err := os.ReadFile(file)
		switch {
		case os.IsPermission(err):
			return nil, fmt.Errorf("--fast-open-key: %w", err)
		case err != nil:
			return nil, usagef("--fast-open-key: the file cannot be read: %w", err)
		}
		value = string(text)
	}
	keys, err := fastopen.ParseKeys(value)
	if err != nil {
		return nil, usagef("--fast-open-key: %w", err)
	}
	return &keys, nil
}

// runListen opens everything, serves, and closes everything.
func runListen(ctx context.Context, o netcat.ListenOptions, f listenFlags, stdio IO) (err error) {
	if err := o.Check(); err != nil {
		return err
	}
	if o.Service == netcat.Stdio && closed(stdio.In) {
		return usagef("standard input is closed: pipe what is to be sent in, or redirect it from a file ('</dev/null' only to receive)")
	}
	out, closeOut, err := answerTo(f.talkFlags, stdio)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeOut()) }()
	l, err := netcat.Listen(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	fmt.Fprintf(stdio.Err, "listen: %v\n", l)
	return l.Serve(ctx, stdio.In, out, f.talk(o, stdio))
}

// talk is what is said of connections, and where.
func (f *listenFlags) talk(o netcat.ListenOptions, stdio IO) netcat.Talk {
	// Without --verbose, what went wrong is said all the same, unless it is what
	// the command ends with.
	alone := o.Service == netcat.Stdio && o.Repeat == 1
	return netcat.Talk{
		Errors: stdio.Err,
		Began: func(remote netip.AddrPort) {
			if f.verbose {
				fmt.Fprintf(stdio.Err, "listen: %v: connected\n", remote)
			}
		},
		Ended: func(s report.Served) error {
			if f.verbose || s.Error != "" && !alone {
				fmt.Fprintf(stdio.Err, "listen: %s: %s\n", s.Remote, served(s))
			}
			if f.json {
				return json.NewEncoder(stdio.Out).Encode(s)
			}
			return nil
		},
	}
}

// served is a connection in words.
func served(s report.Served) string {
	text := fmt.Sprintf("%d bytes received, %d sent, %d in the SYN, %d accepted", s.BytesReceived, s.BytesSent, s.BytesInSYN, s.BytesAcceptedInSYN)
	if s.Reason != "" {
		text += " (" + s.Reason + ")"
	}
	if s.Error != "" {
		text += ": " + strings.Join(strings.Fields(s.Error), " ")
	}
	return text
}

// oneAddress checks the arguments of listen.
func oneAddress(cmd *cobra.Command, args []string) error {
	switch len(args) {
	case 0:
		return fmt.Errorf("the [HOST]:PORT to listen on is missing: write '%s'", cmd.UseLine())
	case 1:
		return nil
	}
	return fmt.Errorf("%d arguments instead of one [HOST]:PORT (host and port are joined by a colon): write '%s'", len(args), cmd.UseLine())
}
