package wskrun

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/watched"
	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/stacktest"
	"github.com/wskstack/wskstack/wsk/scenario"
)

// servicePort is the port of the peer's service.
const servicePort = 80

// ends are the addresses of a world.
type ends struct {
	stack, peer netip.Prefix
	nowhere     netip.Addr
}

// simulated are those of the simulated wire (RFC 5737, RFC 3849).
func simulated(family int) ends {
	if family == 6 {
		return ends{netip.MustParsePrefix("2001:db8:77::2/64"), netip.MustParsePrefix("2001:db8:77::1/64"), netip.MustParseAddr("2001:db8:77::99")}
	}
	return ends{netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("192.0.2.1/24"), netip.MustParseAddr("192.0.2.99")}
}

// simulate runs a scenario in a bubble of virtual time, with a second stack as the
// peer.
func simulate(ctx context.Context, t *testing.T, sc *scenario.Scenario, knobs scenario.Knobs, family int) (result scenario.Result, wire stacktest.Result) {
	ok := t.Run(sc.Name, func(t *testing.T) {
		wire = stacktest.Run(t, stacktest.Config{Seed: knobs.Seed, Limit: 2 * forEver}, func(n *stacktest.Net) {
			result = sc.Run(ctx, simWorld(n, sc, family), knobs)
		})
	})
	if !ok {
		result.OK = false
		result.Failures = append(result.Failures, "the simulator has found something: run its tests to see what")
	}
	return result, wire
}

func simWorld(n *stacktest.Net, sc *scenario.Scenario, family int) scenario.World {
	at := simulated(family)
	path := stacktest.Path{Delay: sc.Delay, Loss: sc.Loss}
	client := n.Host("wsk", stacktest.LineConfig{Out: path, In: path}, stack.Config{Addresses: []netip.Prefix{at.stack}})
	peer := n.Host("peer", stacktest.LineConfig{}, stack.Config{Addresses: []netip.Prefix{at.peer}})
	network := watched.New(client.Stack)
	return scenario.World{
		Name: PeerSim, Network: network, Peer: &simPeer{net: n, host: peer, at: at.peer.Addr()},
		Local: at.stack.Addr(), PeerAddr: at.peer.Addr(), Nowhere: at.nowhere,
		Now: n.Now, Virtual: true, Sleep: n.Sleep, InSYN: inSYN(network),
	}
}

// simPeer is a stack on the simulated wire.
type simPeer struct {
	net      *stacktest.Net
	host     *stacktest.Host
	at       netip.Addr
	listener *stacktest.Listener
}

// forEver is a limit that no run reaches.
const forEver = 1000 * time.Hour

func limited(limit time.Duration) time.Duration {
	if limit < 0 {
		return forEver
	}
	return limit
}

// Listen implements scenario.Peer.
func (p *simPeer) Listen(fastOpen bool) (netip.AddrPort, error) {
	var fast *fastopen.ListenConfig
	if fastOpen {
		fast = &fastopen.ListenConfig{}
	}
	at := netip.AddrPortFrom(p.at, servicePort)
	var err error
	p.listener, err = p.host.Listen(at, backlog, fast)
	return at, err
}

// Accept implements scenario.Peer.
func (p *simPeer) Accept(limit time.Duration) (scenario.Conn, error) {
	p.listener.SetLimit(limited(limit))
	c, err := p.listener.Accept()
	if err != nil {
		return nil, timely(err)
	}
	return simConn{c}, nil
}

// Dial implements scenario.Peer.
func (p *simPeer) Dial(to netip.AddrPort, limit time.Duration) (scenario.Conn, error) {
	c, err := p.host.Open(to)
	if err != nil {
		return nil, err
	}
	c.SetLimit(limited(limit))
	if err := c.Connect(to, stack.ConnectOptions{}); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if err := c.Connected(); err != nil {
		return nil, errors.Join(timely(err), c.Close())
	}
	return simConn{c}, nil
}

// Packets implements scenario.Peer.
func (p *simPeer) Packets(port uint16) (scenario.Packets, error) {
	network := "udp4"
	if p.at.Is6() {
		network = "udp"
	}
	d, err := p.host.Stack.NewDatagram(network)
	if err != nil {
		return nil, err
	}
	s := &simPackets{Datagram: d, woken: make(chan struct{}, 1)}
	d.SetWake(func() {
		select {
		case s.woken <- struct{}{}:
		default:
		}
	})
	return s, d.Bind(netip.AddrPortFrom(p.at, port))
}

// Go implements scenario.Peer. What waits in a call of the simulator's ends with the
// run; packets end when the stack is closed.
func (p *simPeer) Go(f func()) { p.net.Go(f) }

// simConn is a connection of the peer's.
type simConn struct{ *stacktest.Conn }

// timely puts the end of a limit into the words of the other peers.
func timely(err error) error {
	if errors.Is(err, stacktest.ErrLimit) {
		return os.ErrDeadlineExceeded
	}
	return err
}

// Read implements scenario.Conn.
func (c simConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, timely(err)
}

// Write implements scenario.Conn.
func (c simConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, timely(err)
}

// SetLimit implements scenario.Conn.
func (c simConn) SetLimit(limit time.Duration) { c.Conn.SetLimit(limited(limit)) }

// CloseWrite implements scenario.Conn.
func (c simConn) CloseWrite() error { return c.Endpoint.CloseWrite() }

// Reset implements scenario.Conn.
func (c simConn) Reset() error {
	c.Abort()
	return nil
}

// simPackets is the peer's UDP socket.
type simPackets struct {
	*stack.Datagram
	woken chan struct{}
}

// Send implements scenario.Packets.
func (s *simPackets) Send(data []byte, to netip.AddrPort) error {
	return s.Datagram.Send([][]byte{data}, to, 0)
}

// Receive implements scenario.Packets.
func (s *simPackets) Receive(limit time.Duration) ([]byte, netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limited(limit))
	defer cancel()
	buf := make([]byte, 65535)
	for {
		r, err := s.Datagram.Receive([][]byte{buf})
		if err == nil {
			return buf[:r.Bytes], r.From, nil
		}
		if !errors.Is(err, syscall.EAGAIN) {
			return nil, netip.AddrPort{}, err
		}
		select {
		case <-s.woken:
		case <-ctx.Done():
			return nil, netip.AddrPort{}, os.ErrDeadlineExceeded
		}
	}
}
