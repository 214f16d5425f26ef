package netcat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/await"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/report"
	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
)

// Listener is a stack that has joined a network and listens there.
type Listener struct {
	joined
	opts ListenOptions
	at   netip.AddrPort // the stack's idea of where it listens
	// listening is for services that wait with contexts, web for HTTP: one of them is
	// there.
	listening *await.Conn
	web       *stack.TCPListener
	reasons   *reasons
	// grace is how long a connection that ought to end may take to: CloseLimit.
	grace time.Duration
}

// Talk is what a listener tells, one call at a time.
type Talk struct {
	// Began: a connection is there.
	Began func(remote netip.AddrPort)
	// Ended: it is over. An error ends the listener.
	Ended func(report.Served) error
	// Errors is where a command's standard error goes.
	Errors io.Writer
}

// Listen joins the host's network and listens in it. On failure nothing has been
// changed.
func Listen(ctx context.Context, o ListenOptions) (*Listener, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	w, err := resolveListen(ctx, o)
	if err != nil {
		return nil, err
	}
	h, err := openHost(o.Namespace)
	if err != nil {
		return nil, err
	}
	l, err := openListener(h, o, w)
	return l, errors.Join(err, h.close())
}

func openListener(h host, o ListenOptions, w where) (*Listener, error) {
	if w.v4 && w.v6 && !h.hasIPv6() {
		w.v6 = false
	}
	sides, err := h.sides(o.Place, w)
	if err != nil {
		return nil, err
	}
	l := &Listener{opts: o, reasons: newReasons(), grace: CloseLimit}
	l.joined, err = join(o.Place, sides, stack.Config{
		CloseTimeout: CloseLimit,
		FastOpen:     fastopen.Config{OnEvent: l.reasons.note},
	})
	if err != nil {
		return nil, err
	}
	if err := l.open(w); err != nil {
		return nil, errors.Join(fmt.Errorf("listening: %w", err), l.close())
	}
	return l, nil
}

// sides finds a network for each family to listen in.
func (h host) sides(p Place, w where) ([]side, error) {
	if w.addr.IsValid() {
		if err := h.vacant(w.addr); err != nil {
			return nil, err
		}
	}
	var all []side
	for _, family := range []struct{ wanted, v6 bool }{{w.v4, false}, {w.v6, true}} {
		if !family.wanted {
			continue
		}
		s, err := h.side(p, w.addr, family.v6)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// vacant refuses an address of the host's own: its kernel listens there.
func (h host) vacant(a netip.Addr) error {
	var routes []netlink.Route
	err := h.do(func() (err error) { routes, err = netlink.RouteGet(a.AsSlice()); return err })
	if err != nil || len(routes) == 0 || routes[0].Type != unix.RTN_LOCAL {
		return nil //nolint:nilerr // no route to it: nobody has it
	}
	return unavailable("%v is an address of the host itself, where its kernel listens and not this program's stack: leave HOST out, or give an address that no host has", a)
}

// hasIPv6 says whether devices of the host get IPv6.
func (h host) hasIPv6() bool {
	has := false
	_ = h.do(func() error {
		value, err := os.ReadFile("/proc/sys/net/ipv6/conf/default/disable_ipv6")
		has = err == nil && strings.TrimSpace(string(value)) == "0"
		return nil
	})
	return has
}

// open begins to listen.
func (l *Listener) open(w where) (err error) {
	network := "tcp"
	switch {
	case !w.v6:
		network = "tcp4"
	case !w.v4:
		network = "tcp6"
	}
	at := netip.AddrPortFrom(w.addr, w.port)
	fast := l.opts.fastOpen()
	if l.opts.Keys != nil {
		l.stack.FastOpen().SetKeys(*l.opts.Keys)
	}
	if l.opts.Service == HTTP {
		lc := stack.ListenConfig{Stack: l.stack, FastOpen: &fast, Backlog: l.opts.Backlog}
		if l.web, err = lc.ListenTCP(network, at); err != nil {
			return err
		}
		l.at = l.web.Addr().(*net.TCPAddr).AddrPort()
		return nil
	}
	ep, err := l.stack.NewEndpoint(network)
	if err != nil {
		return err
	}
	if err := ep.Bind(at); err != nil {
		return err
	}
	if err := ep.Listen(l.opts.Backlog); err != nil {
		return err
	}
	if _, err = ep.ServeFastOpen(fast); err != nil {
		return err
	}
	l.listening, l.at = await.New(ep), ep.LocalAddr()
	return nil
}

// deafen lets no more connections come. It may have been done already.
func (l *Listener) deafen() {
	if l.web != nil {
		_ = l.web.Close()
		return
	}
	_ = l.listening.Endpoint().Close()
}

// Addrs are the addresses that can be connected to.
func (l *Listener) Addrs() []netip.AddrPort {
	var all []netip.AddrPort
	for _, s := range l.sides {
		all = append(all, netip.AddrPortFrom(s.own.Addr(), l.at.Port()))
	}
	return all
}

// Close takes back what Listen did: connections are reset, the device is gone with
// its addresses and routes when Close returns. The error is of the device.
func (l *Listener) Close() error { return l.close() }

// String says where the listener is.
func (l *Listener) String() string {
	var at, hosts []string
	for i, a := range l.Addrs() {
		at = append(at, a.String())
		hosts = append(hosts, l.sides[i].link.Addr().String())
	}
	return fmt.Sprintf("on %s, through %s; the host is %s", strings.Join(at, " and "), l.device.Name(), strings.Join(hosts, " and "))
}
