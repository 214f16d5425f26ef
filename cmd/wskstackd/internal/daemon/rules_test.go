package daemon

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/fault"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/proxy"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/pump"
)

type connType = pump.Conn

func slogDiscard() *slog.Logger        { return slog.New(slog.DiscardHandler) }
func slogTo(w io.Writer) *slog.Logger  { return slog.New(slog.NewTextHandler(w, nil)) }
func prefix(t string) netip.Prefix     { return netip.MustParsePrefix(t) }
func addrPort(t string) netip.AddrPort { return netip.MustParseAddrPort(t) }

// Nobody is led to what only means something to whoever asks, in any of its forms.
func TestGuard(t *testing.T) {
	g := newGuard(addrs("198.18.77.2", "fd77::2"), []netip.Prefix{prefix("10.1.2.3/8")})
	for _, a := range addrs(
		"0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.255", "169.254.169.254", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "fe80::1", "ff02::1", "fd00:ec2::254", "198.18.77.2", "fd77::2", "10.255.0.1",
		"::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a01:203::1", "fe80::1%eth0",
	) {
		if g.refuses(a) == "" {
			t.Errorf("%v is allowed", a)
		}
	}
	for _, a := range addrs("192.0.2.1", "172.16.0.1", "192.168.0.1", "198.18.77.1", "100.64.0.1", "223.255.255.255", "2001:db8::1", "fd77::1", "64:ff9b::c000:201", "2002:c000:201::1", "11.0.0.1") {
		if why := g.refuses(a); why != "" {
			t.Errorf("%v is denied: %s", a, why)
		}
	}
}

// The addresses of a name that are denied, or of a family that the stack has not, are
// left out; what is looked at is what is dialled.
func TestAddresses(t *testing.T) {
	d := newDaemon(Options{}, slogDiscard())
	d.guard = newGuard(nil, nil)
	d.resolver = names{
		"both.example":   addrs("2001:db8::1", "192.0.2.1", "192.0.2.1"),
		"mixed.example":  addrs("127.0.0.1", "::ffff:192.0.2.1"),
		"local.example":  addrs("127.0.0.1", "::1"),
		"six.example":    addrs("2001:db8::1"),
		"empty.example":  {},
		"linked.example": addrs("fe80::1"),
	}
	for _, c := range []struct {
		name    string
		v4      bool
		guarded bool
		want    []netip.Addr
		result  proxy.Result
	}{
		{"both.example", false, true, addrs("2001:db8::1", "192.0.2.1"), proxy.Granted},
		{"both.example", true, true, addrs("192.0.2.1"), proxy.Granted},
		{"mixed.example", false, true, addrs("192.0.2.1"), proxy.Granted},
		{"local.example", false, true, nil, proxy.Denied},
		{"local.example", false, false, addrs("127.0.0.1", "::1"), proxy.Granted},
		{"six.example", true, true, nil, proxy.NetworkUnreachable},
		{"empty.example", false, true, nil, proxy.NameUnknown},
		{"missing.example", false, true, nil, proxy.NameUnknown},
	} {
		d.net = &scripted{v4: c.v4}
		g := &d.guard
		if !c.guarded {
			g = nil
		}
		got, err := d.addresses(context.Background(), proxy.Target{Name: c.name, Port: 80}, g)
		if !slices.Equal(got, c.want) || resultOf(err) != c.result {
			t.Errorf("%s: %v, %v, want %v, %v", c.name, got, err, c.want, c.result)
		}
	}
	p := pinned(addrs("2001:db8::1", "192.0.2.1"))
	for network, want := range map[string]int{"ip": 2, "ip4": 1, "ip6": 1} {
		if got, err := p.LookupNetIP(t.Context(), network, "x"); len(got) != want || err != nil {
			t.Errorf("%s: %v, %v", network, got, err)
		}
	}
	if got, err := pinned(nil).LookupNetIP(t.Context(), "ip4", "x"); err == nil {
		t.Errorf("got %v", got)
	}
}

func TestSpecs(t *testing.T) {
	for text, want := range map[string]Listener{
		"127.0.0.1:1080":           {addrPort("127.0.0.1:1080"), DefaultWait},
		"[::1]:1080,wait=50ms":     {addrPort("[::1]:1080"), 50 * time.Millisecond},
		"127.0.0.1:0,wait=0s":      {addrPort("127.0.0.1:0"), 0},
		"localhost:1080":           {},
		"1080":                     {},
		"127.0.0.1:1080,wait=-1s":  {},
		"127.0.0.1:1080,wait=5":    {},
		"127.0.0.1:1080,wait=1h":   {},
		"127.0.0.1:1080,speed=max": {},
	} {
		got, err := ParseListener(text)
		if got != want || (err != nil) != (want == Listener{}) || err != nil && !errors.Is(err, fault.ErrUsage) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]Forward{
		"127.0.0.1:8080=192.0.2.1:80":             {Listener{addrPort("127.0.0.1:8080"), DefaultWait}, proxy.Target{Addr: netip.MustParseAddr("192.0.2.1"), Port: 80}},
		"[::1]:8080=example.com:443,wait=1ms":     {Listener{addrPort("[::1]:8080"), time.Millisecond}, proxy.Target{Name: "example.com", Port: 443}},
		"127.0.0.1:8080":                          {},
		":8080=192.0.2.1:80":                      {},
		"127.0.0.1:8080=192.0.2.1":                {},
		"127.0.0.1:8080=192.0.2.1:80,wait=long":   {},
		"127.0.0.1:8080=192.0.2.1:80=192.0.2.1:1": {},
	} {
		got, err := ParseForward(text)
		if got != want || (err != nil) != (want == Forward{}) || err != nil && !errors.Is(err, fault.ErrUsage) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]Expose{
		":80=127.0.0.1:8080":          {netip.AddrPortFrom(netip.Addr{}, 80), proxy.Target{Addr: netip.MustParseAddr("127.0.0.1"), Port: 8080}},
		"198.18.77.2:80=localhost:80": {addrPort("198.18.77.2:80"), proxy.Target{Name: "localhost", Port: 80}},
		":0=127.0.0.1:8080":           {},
		":99999=127.0.0.1:8080":       {},
		"80=127.0.0.1:8080":           {},
		":80":                         {},
		":80=127.0.0.1":               {},
	} {
		got, err := ParseExpose(text)
		if got != want || (err != nil) != (want == Expose{}) || err != nil && !errors.Is(err, fault.ErrUsage) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	good := func() Options {
		return Options{
			Device: "wsk0", Proxies: []Listener{{Address: addrPort("127.0.0.1:1080")}}, MaxConnections: 1,
			HalfClose: 1, Drain: 1, ConnectTimeout: 1, RuntimeDir: "/run/x",
		}
	}
	o := good()
	if err := o.Check(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Options){
		"--half-close":           func(o *Options) { o.HalfClose = 0 },
		"--drain":                func(o *Options) { o.Drain = -1 },
		"--connect-timeout":      func(o *Options) { o.ConnectTimeout = 0 },
		"--max-connections 0":    func(o *Options) { o.MaxConnections = 0 },
		"--device":               func(o *Options) { o.Device = "" },
		"--runtime-dir":          func(o *Options) { o.RuntimeDir = "" },
		"nothing to do":          func(o *Options) { o.Proxies = nil },
		"serves everybody":       func(o *Options) { o.Proxies[0].Address = addrPort("0.0.0.0:1080") },
		"given to two listeners": func(o *Options) { o.Metrics = addrPort("127.0.0.1:1080") },
		"given away twice": func(o *Options) {
			o.Exposes = []Expose{{At: netip.AddrPortFrom(netip.Addr{}, 80)}, {At: netip.AddrPortFrom(netip.Addr{}, 80)}}
		},
		"for each address family": func(o *Options) { o.Links = []netip.Prefix{prefix("10.0.0.1/30"), prefix("10.0.1.1/30")} },
	} {
		o := good()
		change(&o)
		if err := o.Check(); !errors.Is(err, fault.ErrUsage) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", want, err)
		}
	}
	o = good()
	o.Forwards = []Forward{{Listener: Listener{Address: addrPort("127.0.0.1:0")}}, {Listener: Listener{Address: addrPort("127.0.0.1:0")}}}
	if err := o.Check(); err != nil {
		t.Errorf("ports of the kernel's choice: %v", err)
	}
}

func TestListenErrors(t *testing.T) {
	for err, want := range map[error]error{
		syscall.EADDRINUSE: fault.ErrUnavailable, syscall.EADDRNOTAVAIL: fault.ErrUnavailable, syscall.EACCES: syscall.EACCES, syscall.ENOMEM: syscall.ENOMEM,
	} {
		if got := listenError("--listen", addrPort("127.0.0.1:80"), err); !errors.Is(got, want) || strings.Contains(got.Error(), "\n") {
			t.Errorf("%v became %v", err, got)
		}
	}
}
