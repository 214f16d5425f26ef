package daemon

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/proxy"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/pump"
	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
)

// network is what the services need of a stack.
type network interface {
	// has says whether the stack has addresses of the family of another.
	has(netip.Addr) bool
	// carries says whether the SYN of a dial would carry data now.
	carries(netip.AddrPort) bool
	// dial connects to one of the addresses of a target, and sends data first.
	dial(ctx context.Context, t proxy.Target, addrs []netip.Addr, data []byte) (pump.Conn, error)
}

// onStack is a stack as a network.
type onStack struct {
	stack *stack.Stack
	own   []netip.Addr
}

func (n onStack) has(a netip.Addr) bool { return n.from(a).IsValid() }

// from is the stack's address of a family.
func (n onStack) from(a netip.Addr) netip.Addr {
	i := slices.IndexFunc(n.own, func(own netip.Addr) bool { return own.Is4() == a.Is4() })
	if i < 0 {
		return netip.Addr{}
	}
	return n.own[i]
}

func (n onStack) carries(to netip.AddrPort) bool {
	link := n.stack.FastOpen()
	return link.Mode() != fastopen.ModeOff && link.HasCookie(n.from(to.Addr()), to)
}

func (n onStack) dial(ctx context.Context, t proxy.Target, addrs []netip.Addr, data []byte) (pump.Conn, error) {
	host := t.Name
	if host == "" {
		host = t.Addr.String()
	}
	d := stack.Dialer{Stack: n.stack, Resolver: pinned(addrs)}
	c, err := d.DialContextData(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(int(t.Port))), data)
	if err != nil {
		return nil, err
	}
	return c.(pump.Conn), nil // what DialContextData gives for "tcp"
}
