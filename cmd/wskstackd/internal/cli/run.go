package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/daemon"
)

// runFlags are the texts that become daemon.Options.
type runFlags struct {
	links, listen, forward, expose, dns, deny []string
	metrics                                   string
	log, level                                string
}

func newRun(stdio IO) *cobra.Command {
	var o daemon.Options
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the stack for other programs: SOCKS5 and CONNECT, forwarded and exposed ports",
		Example: `  wskstackd run --nat
  wskstackd run --forward 127.0.0.1:8080=192.0.2.1:80 --metrics 127.0.0.1:9090
  wskstackd run --expose :80=127.0.0.1:8080 --listen '[::1]:1080,wait=50ms'
  curl --socks5-hostname 127.0.0.1:1080 http://192.0.2.1/
  curl --proxytunnel --proxy http://127.0.0.1:1080 http://192.0.2.1/`,
		Long: fmt.Sprintf(`It stays in the foreground. Programs of this host reach others through the stack, by a
proxy for SOCKS5 and HTTP CONNECT (--listen) or by ports that lead to one peer (--forward);
and peers of the stack reach services of this host (--expose).

Where a peer's cookie is known, a client's first bytes ride in the SYN (TCP Fast Open,
RFC 7413): they are waited for, %v unless ",wait=DURATION" behind a listener's address says
otherwise, and the proxy grants the request before it has connected, since a client says
nothing before. If the connect then fails, the client sees a reset. Other connects, the
first one to each peer among them, are made at once and answered truthfully; wait=0s makes
all so. These bytes may arrive twice where a network duplicates a SYN; --fast-open=false
sends none.

The stack has an address of its own on a small network between it and this host, through
a TUN device (this needs CAP_NET_ADMIN). So it reaches the host's own addresses, the
loopback addresses apart. With --nat it reaches what this host reaches: the host forwards
its packets (net.ipv4.ip_forward, net.ipv6.conf.all.forwarding) and gives them its own
address (nftables, table wskstackd-DEVICE). A host that did not forward before forwards for
nobody else. All is taken back at the end; after a kill -9, by the next start.

The proxy asks nobody who he is, so it listens on loopback addresses only. It connects
nobody to loopback, link-local and multicast addresses and the stack's own, whatever name
they hide behind; --deny adds networks. Names are looked up with this host's resolver, or
with --dns by a name server that is asked through the stack. TCP only: UDP ASSOCIATE and
BIND are refused.

SIGTERM or an interrupt ends it: nothing more is accepted, and connections have until
--drain to end; a second signal cuts them. Then it exits with 0.

The log goes to standard error: text on a terminal, JSON otherwise. It names no peers
unless --log-level is debug.`, daemon.DefaultWait),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.complete(&o); err != nil {
				return err
			}
			log, err := f.logger(stdio.Err)
			if err != nil {
				return err
			}
			hurry, stop := untilSecondSignal()
			defer stop()
			return daemon.Run(cmd.Context(), hurry, o, log)
		},
	}
	f.register(cmd, &o)
	return cmd
}

func (f *runFlags) register(cmd *cobra.Command, o *daemon.Options) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringArrayVar(&f.listen, "listen", []string{daemon.DefaultListen}, "`ADDRESS:PORT` of the proxy, \",wait=DURATION\" may follow;\n'' for none")
	flags.StringArrayVar(&f.forward, "forward", nil, "connect who comes to LADDR of this host to a peer: `LADDR=RADDR`,\n\",wait=DURATION\" may follow")
	flags.StringArrayVar(&f.expose, "expose", nil, "connect who comes to RADDR of the stack to a service of this host:\n`RADDR=LADDR`")
	flags.BoolVar(&o.NAT, "nat", false, "let this host forward and translate what the stack sends")
	flags.StringVar(&f.metrics, "metrics", "", "serve Prometheus' metrics on http://`ADDRESS:PORT`/metrics")
	flags.StringArrayVar(&f.dns, "dns", nil, "name server `ADDRESS[:PORT]` to ask through the stack\n(default: this host's resolver)")
	flags.StringArrayVar(&f.deny, "deny", nil, "`NETWORK` that the proxy connects nobody to")
	flags.BoolVar(&o.FastOpen, "fast-open", true, "put first bytes into SYNs, and take them from SYNs")
	flags.StringVar(&o.Device, "device", daemon.DefaultDevice, "`name` of the TUN device")
	flags.BoolVar(&o.NoOffload, "no-offload", false, noOffloadHelp)
	flags.StringArrayVar(&f.links, "link", nil, "the host's `ADDRESS/BITS` on the network between it and the stack,\nwhich takes the next address (default: free ones, IPv4 and IPv6)")
	flags.IntVar(&o.MaxConnections, "max-connections", daemon.DefaultMaxConnections, "reset those that come while there are `N`")
	flags.DurationVar(&o.ConnectTimeout, "connect-timeout", daemon.DefaultConnectTimeout, "how long a connect may take, look-up of the name included")
	flags.DurationVar(&o.HalfClose, "half-close", daemon.DefaultHalfClose, "how long nothing may move once one side has closed")
	flags.DurationVar(&o.Drain, "drain", daemon.DefaultDrain, "how long connections may go on when it is asked to end")
	flags.StringVar(&o.RuntimeDir, "runtime-dir", "", "`directory` for the lock and the journal\n(default: $RUNTIME_DIRECTORY, or /run/wskstackd, or one of this user's)")
	flags.StringVar(&f.log, "log", "auto", "`form` of the log: auto, text or json")
	flags.StringVar(&f.level, "log-level", "info", "least `level` that is logged: debug, info, warn or error")
}

// runtimeDir is the directory that the service manager has made, or the usual one.
func runtimeDir() string {
	if dir := os.Getenv("RUNTIME_DIRECTORY"); filepath.IsAbs(dir) && !strings.Contains(dir, ":") {
		return dir
	}
	if os.Geteuid() == 0 {
		return "/run/wskstackd"
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "wskstackd")
	}
	return filepath.Join(os.TempDir(), "wskstackd-"+strconv.Itoa(os.Geteuid()))
}

// complete fills in what the flags mean, and checks it.
func (f *runFlags) complete(o *daemon.Options) (err error) {
	if len(f.listen) == 1 && f.listen[0] == "" {
		f.listen = nil
	}
	if o.Proxies, err = each(f.listen, daemon.ParseListener); err != nil {
		return err
	}
	if o.Forwards, err = each(f.forward, daemon.ParseForward); err != nil {
		return err
	}
	if o.Exposes, err = each(f.expose, daemon.ParseExpose); err != nil {
		return err
	}
	if o.Links, err = each(f.links, parseLink); err != nil {
		return err
	}
	if o.Deny, err = each(f.deny, parseDeny); err != nil {
		return err
	}
	if o.DNS, err = each(f.dns, parseDNS); err != nil {
		return err
	}
	if o.RuntimeDir == "" {
		o.RuntimeDir = runtimeDir()
	}
	if f.metrics != "" {
		if o.Metrics, err = netip.ParseAddrPort(f.metrics); err != nil {
			return usagef("--metrics %q is not ADDRESS:PORT: write 127.0.0.1:9090", f.metrics)
		}
	}
	return o.Check()
}

// each parses the values of a flag that may be given several times.
func each[T any](texts []string, parse func(string) (T, error)) ([]T, error) {
	var all []T
	for _, text := range texts {
		one, err := parse(text)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func parseDeny(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, usagef("--deny %q is no network: write 10.0.0.0/8, 2001:db8::/32 or an address", text)
	}
	return p, nil
}

func parseDNS(text string) (netip.AddrPort, error) {
	const port = 53
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		return netip.AddrPortFrom(a, port), nil
	}
	a, err := netip.ParseAddrPort(text)
	if err != nil || a.Port() == 0 || a.Addr().Zone() != "" {
		return a, usagef("--dns %q is no address of a name server: write 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53", text)
	}
	return a, nil
}

// logger makes the log. On a terminal it is for people.
func (f *runFlags) logger(to io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return nil, usagef("--log-level %q: use debug, info, warn or error", f.level)
	}
	opts := &slog.HandlerOptions{Level: level}
	switch {
	case f.log == "text", f.log == "auto" && terminal(to):
		return slog.New(slog.NewTextHandler(to, opts)), nil
	case f.log == "json", f.log == "auto":
		return slog.New(slog.NewJSONHandler(to, opts)), nil
	}
	return nil, usagef("--log %q: use auto, text or json", f.log)
}

// untilSecondSignal is a context that the second signal ends; the first one ends
// that of the command, see untilSignal.
func untilSecondSignal() (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range 2 {
			select {
			case <-signals:
			case <-ctx.Done():
				return
			}
		}
		cancel()
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel()
		<-ended
	}
}
