package netcat

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/tun"
)

// Session is a stack that has joined a network through a TUN.
type Session struct {
	opts   Options
	remote netip.AddrPort
	stack  *stack.Stack
	device *tun.Device
	link   netip.Prefix
}

// Open finds the target, looks whether the host leads there, and joins the host's
// network. On failure nothing has been changed.
func Open(ctx context.Context, o Options) (*Session, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	remote, err := Resolve(ctx, o.Target, o.Family)
	if err != nil {
		return nil, err
	}
	h, err := openHost(o.Namespace)
	if err != nil {
		return nil, err
	}
	s, err := join(h, o, remote)
	return s, errors.Join(err, h.close())
}

// join opens the TUN and starts the stack on it.
func join(h host, o Options, remote netip.AddrPort) (*Session, error) {
	link, err := h.freeLink(o.Link, remote.Addr().Is6())
	if err != nil {
		return nil, err
	}
	if err := h.check(remote.Addr(), link); err != nil {
		return nil, err
	}
	own, ok := ownAddress(link)
	if !ok {
		return nil, usage("--link %v: it needs two usable addresses", link)
	}
	dev, err := tun.Open(tun.Config{Name: o.Device, Addresses: []netip.Prefix{link}, Namespace: o.Namespace})
	if err != nil {
		return nil, err
	}
	l, err := iolink.New(dev, iolink.Config{})
	if err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	// It owns the link from here on, and with it the device.
	st, err := stack.New(stack.Config{
		Link: l, Addresses: []netip.Prefix{own},
		ConnectTimeout: o.Timeout, CloseTimeout: CloseLimit,
	})
	if err != nil {
		return nil, err
	}
	return &Session{opts: o, remote: remote, stack: st, device: dev, link: link}, nil
}

// Close takes back what Open did: connections are reset, the device is gone with
// its addresses and routes when Close returns. The error is of the device.
func (s *Session) Close() error {
	return errors.Join(s.stack.Close(), s.device.Close())
}

// String says through what the session goes.
func (s *Session) String() string {
	own, _ := ownAddress(s.link) // it was one in join
	return fmt.Sprintf("to %v from %v, through %s to the host's %v", s.remote, own.Addr(), s.device.Name(), s.link.Addr())
}
