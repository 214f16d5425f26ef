package stack

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
)

// Resolver looks names up; *net.Resolver does. network is "ip4" or "ip6". It may be
// called from several goroutines at once, and returns when ctx ends.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Resolver asks name servers over the stack: those of Config.NameServers or else those
// of the machine's /etc/resolv.conf; over UDP and, where an answer is too long, over
// TCP. As with every net.Resolver of Go's own, the machine's /etc/hosts is looked at
// first, and its search list applies.
func (s *Stack) Resolver() *net.Resolver {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.resolves == nil {
		n := &nameServers{stack: s, list: s.cfg.NameServers}
		s.resolves = &net.Resolver{PreferGo: true, Dial: n.dial}
	}
	return s.resolves
}

// nameServers are the name servers of Config. One is asked until it fails.
type nameServers struct {
	stack   *Stack
	list    []netip.AddrPort
	current atomic.Uint32
}

// dial connects to a name server; address is one of the machine's.
func (n *nameServers) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if len(n.list) == 0 {
		return n.stack.DialContext(ctx, network, address)
	}
	now := n.current.Load()
	c, err := n.stack.DialContext(ctx, network, n.list[int(now)%len(n.list)].String())
	if err != nil {
		n.current.CompareAndSwap(now, now+1)
		return nil, err
	}
	if u, ok := c.(*UDPConn); ok {
		return &queryConn{UDPConn: u, failed: func() { n.current.CompareAndSwap(now, now+1) }}, nil
	}
	return c, nil
}

// queryConn is a connection to a name server that tells when there is no answer. It is
// a net.PacketConn, by which net.Resolver knows UDP.
type queryConn struct {
	*UDPConn
	failed func()
}

// Read implements net.Conn.
func (c *queryConn) Read(p []byte) (int, error) {
	n, err := c.UDPConn.Read(p)
	if err != nil {
		c.failed()
	}
	return n, err
}
