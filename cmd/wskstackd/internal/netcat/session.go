package netcat

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/wskstack/wskstack/stack"
)

// Session is a stack that has joined a network to connect from.
type Session struct {
	joined
	opts   Options
	remote netip.AddrPort
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
	s, err := openSession(h, o, remote)
	return s, errors.Join(err, h.close())
}

func openSession(h host, o Options, remote netip.AddrPort) (*Session, error) {
	at, err := h.side(o.Place, netip.Addr{}, remote.Addr().Is6())
	if err != nil {
		return nil, err
	}
	if err := h.check(remote.Addr(), at.link); err != nil {
		return nil, err
	}
	j, err := join(o.Place, []side{at}, stack.Config{ConnectTimeout: o.Timeout, CloseTimeout: CloseLimit})
	if err != nil {
		return nil, err
	}
	return &Session{joined: j, opts: o, remote: remote, link: at.link}, nil
}

// Close takes back what Open did: connections are reset, the device is gone with
// its addresses and routes when Close returns. The error is of the device.
func (s *Session) Close() error { return s.close() }

// Stack is the session's stack, which the session closes.
func (s *Session) Stack() *stack.Stack { return s.stack }

// Remote is the target.
func (s *Session) Remote() netip.AddrPort { return s.remote }

// Local is the stack's address.
func (s *Session) Local() netip.Addr { return s.sides[0].own.Addr() }

// String says through what the session goes.
func (s *Session) String() string {
	return fmt.Sprintf("to %v from %v, through %s to the host's %v", s.remote, s.sides[0].own.Addr(), s.device.Name(), s.link.Addr())
}
