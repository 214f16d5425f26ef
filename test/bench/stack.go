package bench

import (
	"context"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/test/naive"
	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/tun"
)

// Stack opens the subject that this project is: a stack on a TUN with offloads,
// used through the Go API.
func Stack(cfg Config) (*Subject, error) {
	return openStack("wskstack", cfg, false, func(_ *Subject, s *stack.Stack) (dialer, error) { return viaGo{s}.dial, nil })
}

// Naive opens the stack on the link that the first version of every such program
// has: no offloads, a queue, one packet per system call.
func Naive(cfg Config) (*Subject, error) {
	return openStack("naive", cfg, true, func(_ *Subject, s *stack.Stack) (dialer, error) { return viaGo{s}.dial, nil })
}

type dialer = func(to netip.AddrPort, data []byte, fastOpen bool) (conn, error)

// openStack opens a TUN with the kernel's server behind it and a stack on it.
func openStack(name string, cfg Config, simple bool, through func(*Subject, *stack.Stack) (dialer, error)) (*Subject, error) {
	return openOn(name, cfg, simple, onStack(through))
}

// user puts what the subject dials with on a link, which it owns.
type user = func(*Subject, gstack.LinkEndpoint) (dialer, error)

// onStack puts a stack on a link.
func onStack(through func(*Subject, *stack.Stack) (dialer, error)) user {
	return func(s *Subject, link gstack.LinkEndpoint) (dialer, error) {
		st, err := stack.New(stack.Config{Link: link, Addresses: []netip.Prefix{clientNet}})
		if err != nil {
			return nil, err
		}
		s.onClose(st.Close)
		return through(s, st)
	}
}

// openOn opens a TUN with the kernel's server behind it and a user on its link.
func openOn(name string, cfg Config, simple bool, on user) (_ *Subject, err error) {
	s := &Subject{Name: name}
	defer closeOn(&err, s)
	far, err := s.namespace()
	if err != nil {
		return nil, err
	}
	dev, err := openTUN(far, cfg, simple)
	if err != nil {
		return nil, err
	}
	link, err := newLink(dev, cfg, simple)
	if err != nil {
		return nil, err
	}
	if s.dial, err = on(s, link); err != nil {
		return nil, err
	}
	return s, s.start(far, cfg)
}

func openTUN(ns *netns.Namespace, cfg Config, simple bool) (*tun.Device, error) {
	return tun.Open(tun.Config{
		Name: "bench0", MTU: cfg.mtu(), Addresses: []netip.Prefix{serverNet}, Namespace: ns.Path(), NoOffload: simple,
	})
}

// newLink puts the link endpoint on a device, which it owns from then on.
func newLink(dev *tun.Device, cfg Config, simple bool) (gstack.LinkEndpoint, error) {
	if simple {
		return naive.New(dev, channel.New(naive.Queue, uint32(dev.MTU()), "")), nil
	}
	var d iolink.Device = dev
	if cfg.RTT > 0 {
		d = delayed(dev, cfg.RTT/2)
	}
	link, err := iolink.New(d, iolink.Config{})
	if err != nil {
		_ = d.Close()
		return nil, err
	}
	return link, nil
}

// viaGo dials through the Go API.
type viaGo struct{ stack *stack.Stack }

func (v viaGo) dial(to netip.AddrPort, data []byte, fastOpen bool) (conn, error) {
	d := stack.Dialer{Stack: v.stack, FastOpen: fastopen.ModeOff}
	if fastOpen {
		d.FastOpen = fastopen.ModeOn
	}
	c, err := d.DialTCPData(context.Background(), "tcp", netip.AddrPort{}, to, data)
	if err != nil {
		return nil, err
	}
	return c, nil
}
