package netcat

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gvisor.dev/gvisor/pkg/refs"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/fault"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/report"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/iolink/frame"
	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/test/netns/netnstest"
	"github.com/wskstack/wskstack/tun"
)

// TestMain fails the run if a goroutine or a packet buffer is left.
func TestMain(m *testing.M) {
	refs.SetLeakMode(refs.LeaksPanic)
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if code == 0 {
			refs.DoLeakCheck()
		}
		os.Exit(code)
	}))
}

// limit is when something that hangs gives up; nothing is measured with it.
const limit = 30 * time.Second

// options are good ones, in a namespace.
func options(ns *netns.Namespace, target string) Options {
	return Options{
		Place: Place{Namespace: ns.Path()}, Target: target, FastOpen: true, Wait: limit, Repeat: 1, Timeout: limit,
	}
}

// open opens a session, or skips the test where there is no TUN for it.
func open(t *testing.T, o Options) *Session {
	t.Helper()
	s, err := Open(t.Context(), o)
	if errors.Is(err, tun.ErrNoDevice) || errors.Is(err, tun.ErrNoPrivilege) {
		err = errors.Join(netns.ErrPrivilege, err)
	}
	netnstest.Require(t, err)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return s
}

// run runs a session to its end.
func run(t *testing.T, s *Session, in io.Reader) (string, []report.Run, error) {
	t.Helper()
	var out bytes.Buffer
	var runs []report.Run
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	err := s.Run(ctx, in, &out, func(r report.Run) error { runs = append(runs, r); return nil })
	return out.String(), runs, err
}

// whole answers with all of what came, after the client's FIN.
func whole(s *kernelpeer.Stream) error {
	got, err := io.ReadAll(s)
	if err != nil {
		return err
	}
	_, err = s.Write(append([]byte("<"), append(got, '>')...))
	return err
}

// server is a kernel's service in the namespace, on all addresses.
func server(t *testing.T, ns *netns.Namespace, h kernelpeer.Handler) uint16 {
	t.Helper()
	if err := kernelpeer.EnableFastOpen(ns); err != nil {
		t.Fatal(err)
	}
	srv, err := kernelpeer.Listen(ns, kernelpeer.ServerConfig{
		Address: netip.MustParseAddrPort("[::]:0"), FastOpen: 16, Handler: h,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	return srv.Addr().Port()
}

// The host's ends of the links that are chosen in an empty namespace.
var host4, host6 = netip.MustParseAddr("198.18.77.1"), netip.MustParseAddr("fd77:736b::1")

func TestFirstBytesRideInTheSYN(t *testing.T) {
	for name, host := range map[string]netip.Addr{"ipv4": host4, "ipv6": host6} {
		t.Run(name, func(t *testing.T) {
			ns := netnstest.New(t)
			o := options(ns, netip.AddrPortFrom(host, server(t, ns, whole)).String())
			o.Repeat = 3
			out, runs, err := run(t, open(t, o), strings.NewReader("question"))
			if err != nil {
				t.Fatal(err)
			}
			if out != "<question><question><question>" {
				t.Errorf("got %q", out)
			}
			if len(runs) != 3 || runs[0].Reason != "no-cookie" || runs[0].BytesInSYN != 0 {
				t.Fatalf("runs %+v", runs)
			}
			for _, r := range runs[1:] {
				if r.BytesInSYN != 8 || r.BytesAcceptedInSYN != 8 || !r.FastOpen || r.Reason != "" || r.Family != name || r.Bytes != 8 || r.TTFBms <= 0 {
					t.Errorf("run %+v", r)
				}
			}
			counters, err := kernelpeer.ReadCounters(ns)
			if err != nil {
				t.Fatal(err)
			}
			if counters.Passive != 2 || counters.CookieReqd != 1 {
				t.Errorf("the kernel counted %+v", counters)
			}
		})
	}
}

// More than a connect can take, and more than any buffer holds, goes through once
// and in order.
func TestLongInput(t *testing.T) {
	ns := netnstest.New(t)
	long := strings.Repeat("0123456789abcde\n", 1<<17) // 2 MiB
	for _, repeat := range []int{1, 2} {
		o := options(ns, netip.AddrPortFrom(host4, server(t, ns, whole)).String())
		o.Repeat = repeat
		s := open(t, o)
		out, runs, err := run(t, s, strings.NewReader(long))
		if err != nil {
			t.Fatal(err)
		}
		if out != strings.Repeat("<"+long+">", repeat) {
			t.Errorf("%d bytes came back", len(out))
		}
		if runs[0].Bytes != len(long) {
			t.Errorf("%d bytes sent", runs[0].Bytes)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Without input in time, and with Fast Open off, the SYN is an ordinary one.
func TestWithoutFirstBytes(t *testing.T) {
	ns := netnstest.New(t)
	greet := func(s *kernelpeer.Stream) error {
		if _, err := s.Write([]byte("hello ")); err != nil {
			return err
		}
		return whole(s)
	}
	target := netip.AddrPortFrom(host4, server(t, ns, greet)).String()
	for name, change := range map[string]func(*Options){
		"off":     func(o *Options) { o.FastOpen = false },
		"no wait": func(o *Options) { o.Wait = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			o := options(ns, target)
			change(&o)
			s := open(t, o)
			// The input comes when the server has spoken.
			in, feed := io.Pipe()
			var out bytes.Buffer
			spoken := writerFunc(func(b []byte) (int, error) {
				if out.Len() == 0 {
					go func() { _, _ = io.WriteString(feed, "late"); _ = feed.Close() }()
				}
				return out.Write(b)
			})
			var got report.Run
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			if err := s.Run(ctx, in, spoken, func(r report.Run) error { got = r; return nil }); err != nil {
				t.Fatal(err)
			}
			if out.String() != "hello <late>" || got.FastOpen || got.BytesInSYN != 0 || got.Reason != "off" || got.Bytes != 4 {
				t.Errorf("got %q, %+v", out.String(), got)
			}
		})
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// The peer may end first, whatever is still to come on the input.
func TestPeerEndsFirst(t *testing.T) {
	ns := netnstest.New(t)
	o := options(ns, netip.AddrPortFrom(host4, server(t, ns, func(s *kernelpeer.Stream) error {
		_, err := s.Write([]byte("bye"))
		return err
	})).String())
	o.Wait = 0
	in, feed := io.Pipe()
	out, _, err := run(t, open(t, o), in)
	_ = feed.Close() // releases the reader of the input
	if err != nil || out != "bye" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestFailures(t *testing.T) {
	ns := netnstest.New(t)
	port := server(t, ns, kernelpeer.Reset)
	closedPort := netip.AddrPortFrom(host4, 1).String()
	o := options(ns, closedPort)
	if _, _, err := run(t, open(t, o), strings.NewReader("x")); !errors.Is(err, syscall.ECONNREFUSED) || !strings.Contains(err.Error(), "check the port") {
		t.Errorf("refused: %v", err)
	}
	o = options(ns, netip.AddrPortFrom(host4, port).String())
	if _, _, err := run(t, open(t, o), strings.NewReader("x")); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reset: %v", err)
	}
	o = options(ns, netip.AddrPortFrom(host4, server(t, ns, whole)).String())
	if _, _, err := run(t, open(t, o), failing{}); !errors.Is(err, errInput) {
		t.Errorf("input: %v", err)
	}
	s := open(t, o)
	full := errors.New("disk full")
	err := s.Run(t.Context(), strings.NewReader("x"), writerFunc(func([]byte) (int, error) { return 0, full }), func(report.Run) error { return nil })
	if !errors.Is(err, full) {
		t.Errorf("output: %v", err)
	}
}

// A host that forwards into a void: nobody answers, and the limit ends it.
func TestNoAnswer(t *testing.T) {
	ns := netnstest.New(t)
	if err := ns.SetSysctl("net.ipv4.ip_forward", "1"); err != nil {
		t.Fatal(err)
	}
	open(t, options(ns, netip.AddrPortFrom(host4, 1).String())) // skips where there is no TUN
	void, err := tun.Open(tun.Config{Addresses: []netip.Prefix{netip.MustParsePrefix("10.99.0.1/24")}, Namespace: ns.Path()})
	if err != nil {
		t.Fatal(err)
	}
	defer void.Close()
	o := options(ns, "10.99.0.2:80")
	o.Timeout = 50 * time.Millisecond
	_, _, err = run(t, open(t, o), strings.NewReader("x"))
	if !errors.Is(err, syscall.ETIMEDOUT) || !strings.Contains(err.Error(), "10.99.0.2:80 did not answer (--timeout is 50ms)") {
		t.Errorf("got %v", err)
	}
}

var errInput = errors.New("input failed")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errInput }

// An end of the context ends a connection that waits for its peer.
func TestInterrupted(t *testing.T) {
	ns := netnstest.New(t)
	connected := make(chan struct{})
	o := options(ns, netip.AddrPortFrom(host4, server(t, ns, func(s *kernelpeer.Stream) error {
		close(connected)
		return kernelpeer.Sink(s)
	})).String())
	s := open(t, o)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("interrupted")
	go func() {
		<-connected
		cancel(why)
	}()
	in, feed := io.Pipe()
	go func() { _, _ = io.WriteString(feed, "x") }()
	err := s.Run(ctx, in, io.Discard, func(report.Run) error { return nil })
	_ = feed.Close()
	if !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

// refuses says how an error that a user gets to see has to be.
func refuses(t *testing.T, name string, err, kind error, want string) {
	t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: %v, want %v with %q in one line", name, err, kind, want)
	}
}

// The user may want ordinary packets only.
func TestNoOffload(t *testing.T) {
	ns := netnstest.New(t)
	o := options(ns, netip.AddrPortFrom(host4, server(t, ns, whole)).String())
	o.NoOffload = true
	s := open(t, o)
	if got := s.device.Offloads(); got != (frame.Offloads{}) {
		t.Errorf("the device has %+v", got)
	}
	if out, _, err := run(t, s, strings.NewReader("question")); out != "<question>" || err != nil {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	ns := netnstest.New(t)
	for name, c := range map[string]struct {
		target string
		change func(*Options)
		kind   error
		want   string
	}{
		"loopback":         {"127.0.0.1:80", nil, fault.ErrUnavailable, "use 198.18.77.1"},
		"no route":         {"203.0.113.1:80", nil, fault.ErrUnavailable, "no route to 203.0.113.1"},
		"nobody there":     {"198.18.77.2:80", nil, fault.ErrUnavailable, "has nobody else"},
		"other family":     {"198.18.77.1:80", func(o *Options) { o.Family = 6 }, fault.ErrUsage, "is no IPv6 address"},
		"link's family":    {"198.18.77.1:80", func(o *Options) { o.Link = netip.MustParsePrefix("fd00::1/126") }, fault.ErrUsage, "address family"},
		"link too small":   {"198.18.77.1:80", func(o *Options) { o.Link = netip.MustParsePrefix("10.0.0.1/31") }, fault.ErrUsage, "two usable addresses"},
		"loopback link":    {"198.18.77.1:80", func(o *Options) { o.Link = netip.MustParsePrefix("127.0.0.5/30") }, fault.ErrUsage, "two usable addresses"},
		"negative wait":    {"198.18.77.1:80", func(o *Options) { o.Wait = -1 }, fault.ErrUsage, "--wait"},
		"no timeout":       {"198.18.77.1:80", func(o *Options) { o.Timeout = 0 }, fault.ErrUsage, "--timeout"},
		"repeat":           {"198.18.77.1:80", func(o *Options) { o.Repeat = 0 }, fault.ErrUsage, "--repeat"},
		"family":           {"198.18.77.1:80", func(o *Options) { o.Family = 5 }, fault.ErrUsage, "address family 5"},
		"no port":          {"198.18.77.1", nil, fault.ErrUsage, "is not HOST:PORT"},
		"port 0":           {"198.18.77.1:0", nil, fault.ErrUsage, "is no TCP port"},
		"long device name": {"198.18.77.1:80", func(o *Options) { o.Device = "sixteen-letters!" }, tun.ErrBadName, "15 is the most"},
		"device taken":     {"198.18.77.1:80", func(o *Options) { o.Device = "lo" }, tun.ErrBusy, "taken"},
		"no namespace":     {"198.18.77.1:80", func(o *Options) { o.Namespace = "/no/such" }, fault.ErrUnavailable, "lsns"},
		"not a namespace":  {"198.18.77.1:80", func(o *Options) { o.Namespace = "/dev/null" }, fault.ErrUnavailable, "is not a network namespace"},
	} {
		o := options(ns, c.target)
		if c.change != nil {
			c.change(&o)
		}
		s, err := Open(t.Context(), o)
		if err == nil {
			t.Errorf("%s: opened", name)
			_ = s.Close()
			continue
		}
		refuses(t, name, err, c.kind, c.want)
	}
}

// A host that forwards is taken at its word; one that does not is told of.
func TestForwarding(t *testing.T) {
	ns := netnstest.New(t)
	if err := ns.SetSysctl("net.ipv4.ip_forward", "0"); err != nil {
		t.Fatal(err)
	}
	h := host{ns}
	link := netip.PrefixFrom(host4, 30)
	err := h.checkForwarding(netip.MustParseAddr("203.0.113.1"), link)
	if !errors.Is(err, fault.ErrUnavailable) || !strings.Contains(err.Error(), "net.ipv4.ip_forward=1") {
		t.Errorf("got %v", err)
	}
	if err := ns.SetSysctl("net.ipv4.ip_forward", "1"); err != nil {
		t.Fatal(err)
	}
	if err := h.checkForwarding(netip.MustParseAddr("203.0.113.1"), link); err != nil {
		t.Errorf("got %v", err)
	}
	if err := h.checkForwarding(netip.MustParseAddr("2001:db8::1"), link); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("IPv6: %v", err)
	}
}

// Two sessions at once get two networks.
func TestLinksDoNotCollide(t *testing.T) {
	ns := netnstest.New(t)
	target := netip.AddrPortFrom(host4, server(t, ns, whole)).String()
	first := open(t, options(ns, target))
	second := open(t, options(ns, target))
	if first.link.Overlaps(second.link) {
		t.Errorf("%v and %v", first.link, second.link)
	}
	o := options(ns, target)
	o.Link = first.link
	if _, err := Open(t.Context(), o); !errors.Is(err, fault.ErrUnavailable) || !strings.Contains(err.Error(), "in use on the host") {
		t.Errorf("the same network asked for: %v", err)
	}
	if out, _, err := run(t, second, strings.NewReader("x")); err != nil || out != "<x>" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestResolve(t *testing.T) {
	got, err := Resolve(t.Context(), "localhost:80", 4)
	if err != nil || got != netip.MustParseAddrPort("127.0.0.1:80") {
		t.Errorf("localhost: %v, %v", got, err)
	}
	if got, err := Resolve(t.Context(), "[::ffff:192.0.2.1]:http", 0); err != nil || got != netip.MustParseAddrPort("192.0.2.1:80") {
		t.Errorf("a mapped address and a service: %v, %v", got, err)
	}
	for target, kind := range map[string]error{
		"no-such-name.invalid:80": fault.ErrUnavailable, "": fault.ErrUsage, ":80": fault.ErrUsage, "host": fault.ErrUsage, "[::1:80": fault.ErrUsage,
		"192.0.2.1:": fault.ErrUsage, "192.0.2.1:65536": fault.ErrUsage, "192.0.2.1:-1": fault.ErrUsage, "192.0.2.1:no-such-service": fault.ErrUsage,
	} {
		if _, err := Resolve(t.Context(), target, 0); !errors.Is(err, kind) {
			t.Errorf("%q: %v, want %v", target, err, kind)
		}
	}
}

// Addresses that no TCP peer has are the caller's mistake; the line says which kind
// it is and what to give instead. Names are held to the same.
func TestResolveRefusesWhatNoPeerHas(t *testing.T) {
	for target, want := range map[string]string{
		"0.0.0.0:7777":            "0.0.0.0, the unspecified address",
		"[::]:7777":               "::, the unspecified address",
		"[::ffff:0.0.0.0]:7777":   "0.0.0.0, the unspecified address",
		"255.255.255.255:7777":    "255.255.255.255, the broadcast address",
		"224.0.0.1:7777":          "224.0.0.1, a multicast address",
		"[ff02::1]:7777":          "ff02::1, a multicast address",
		"[ff02::1%lo]:7777":       "ff02::1%lo, a multicast address",
		"[fe80::1%eth0]:7777":     "fe80::1%eth0, an address of one link",
		"[fe80::1]:7777":          "fe80::1, an address of one link",
		"[2001:db8::1%eth0]:7777": "2001:db8::1%eth0, an address of one link",
		"[::%eth0]:7777":          "::%eth0, ",
	} {
		_, err := Resolve(t.Context(), target, 0)
		if !errors.Is(err, fault.ErrUsage) || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), ": give ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line of wrong usage with %q and what to give", target, err, want)
		}
	}
	for _, good := range []string{"127.0.0.1:1", "[::1]:1", "192.0.2.255:1", "169.254.169.254:80", "[fd00::1]:1"} {
		if got, err := Resolve(t.Context(), good, 0); err != nil || got != netip.MustParseAddrPort(good) {
			t.Errorf("%s: %v, %v", good, got, err)
		}
	}
}

// Round trips are counted only where the path, and not the machine, makes the time.
func TestRoundTripsOfAShortPath(t *testing.T) {
	for _, c := range []struct {
		handshake, first time.Duration
		want             int
	}{
		{200 * time.Microsecond, 900 * time.Microsecond, 0},
		{20 * time.Millisecond, 41 * time.Millisecond, 2},
	} {
		m := meter{first: c.first}
		if got := m.run(fastopen.Outcome{HandshakeRTT: c.handshake}, false).RoundTrips; got != c.want {
			t.Errorf("first byte after %v, handshake %v: %d round trips, want %d", c.first, c.handshake, got, c.want)
		}
		// Without the layer's own measurement.
		m.handshake = c.handshake
		if got := m.run(fastopen.Outcome{}, true).RoundTrips; got != c.want {
			t.Errorf("first byte after %v, connect took %v: %d round trips, want %d", c.first, c.handshake, got, c.want)
		}
	}
}

func TestInputIsBoundedWhereItIsKept(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	endless := readerFunc(func(b []byte) (int, error) { return len(b), nil })
	if _, err := takeAll(ctx, pump(ctx, endless)); !errors.Is(err, fault.ErrUsage) {
		t.Errorf("got %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
