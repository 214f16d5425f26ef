package wskrun

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/fault"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/watched"
	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/test/wire"
	"github.com/wskstack/wskstack/wsk/scenario"
)

// inKernel runs a scenario against the Linux kernel, in a namespace of its own.
func inKernel(ctx context.Context, sc *scenario.Scenario, knobs scenario.Knobs, family int) (_ scenario.Result, err error) {
	w, _, err := wire.OpenBest(wire.Config{})
	if err != nil {
		return scenario.Result{}, err
	}
	if w.Namespace == nil {
		return scenario.Result{}, errors.Join(fmt.Errorf("no wire to the kernel could be made: %w", netns.ErrPrivilege), w.Close())
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if !w.PeerAddr(family).IsValid() {
		return scenario.Result{}, fault.New(fault.ErrUnavailable, "this kernel has no IPv6: use --family 4")
	}
	s, err := stack.New(stack.Config{Link: w.Link, Addresses: w.StackAddresses})
	if err != nil {
		return scenario.Result{}, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	peer := &kernelPeer{ns: w.Namespace, at: w.PeerAddr(family)}
	defer func() { err = errors.Join(err, peer.close()) }()
	network := watched.New(s)
	world := realTime(scenario.World{
		Name: PeerKernel, Network: network, Peer: peer, InSYN: inSYN(network),
		Local: w.StackAddr(family), PeerAddr: peer.at, Nowhere: simulated(family).nowhere,
	})
	return sc.Run(ctx, world, knobs), nil
}

// realTime gives a world the clock on the wall.
func realTime(w scenario.World) scenario.World {
	began := time.Now()
	w.Now = func() time.Duration { return time.Since(began) }
	w.Sleep = func(d time.Duration) {
		if d > 0 {
			<-time.After(d)
		}
	}
	return w
}

// kernelPeer is the kernel's TCP and UDP in a namespace.
type kernelPeer struct {
	ns       *netns.Namespace
	at       netip.Addr
	listener *net.TCPListener

	running sync.WaitGroup
	mu      sync.Mutex // a leaf; guards all below
	closers []interface{ Close() error }
}

// later closes something when the peer is closed.
func (p *kernelPeer) later(c interface{ Close() error }) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closers = append(p.closers, c)
}

// close ends everything and waits.
func (p *kernelPeer) close() error {
	p.mu.Lock()
	closers := p.closers
	p.closers = nil
	p.mu.Unlock()
	for _, c := range closers {
		_ = c.Close() // most are closed already
	}
	p.running.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.closers { // accepted meanwhile
		_ = c.Close()
	}
	return nil
}

// Listen implements scenario.Peer.
func (p *kernelPeer) Listen(fastOpen bool) (netip.AddrPort, error) {
	if err := kernelpeer.EnableFastOpen(p.ns); err != nil {
		return netip.AddrPort{}, err
	}
	lc := net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if fastOpen {
			err = c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_FASTOPEN, backlog) })
		}
		return err
	}}
	lc.SetMultipathTCP(false)
	err := p.ns.Do(func() error {
		l, err := lc.Listen(context.Background(), "tcp", netip.AddrPortFrom(p.at, servicePort).String())
		if err == nil {
			p.listener = l.(*net.TCPListener) // what Listen gives for "tcp"
			p.later(l)
		}
		return err
	})
	return netip.AddrPortFrom(p.at, servicePort), err
}

// deadline is a limit as a point in time; the zero time is none.
func deadline(limit time.Duration) time.Time {
	if limit < 0 {
		return time.Time{}
	}
	return time.Now().Add(limit)
}

// Accept implements scenario.Peer.
func (p *kernelPeer) Accept(limit time.Duration) (scenario.Conn, error) {
	if err := p.listener.SetDeadline(deadline(limit)); err != nil {
		return nil, err
	}
	c, err := p.listener.AcceptTCP()
	if err != nil {
		return nil, err
	}
	p.later(c)
	return kernelConn{c}, nil
}

// Dial implements scenario.Peer.
func (p *kernelPeer) Dial(to netip.AddrPort, limit time.Duration) (scenario.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limited(limit))
	defer cancel()
	c, err := kernelpeer.Dial(ctx, p.ns, kernelpeer.ClientConfig{Remote: to})
	if errors.Is(err, syscall.ECONNRESET) {
		return resetConn{}, nil // it came up, and was refused before this could look
	}
	if err != nil {
		return nil, err
	}
	p.later(c)
	return kernelConn{c.TCPConn}, nil
}

// Packets implements scenario.Peer.
func (p *kernelPeer) Packets(port uint16) (scenario.Packets, error) {
	var c *net.UDPConn
	err := p.ns.Do(func() (err error) {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.at, port)))
		return err
	})
	if err != nil {
		return nil, err
	}
	p.later(c)
	return kernelPackets{c}, nil
}

// Go implements scenario.Peer.
func (p *kernelPeer) Go(f func()) { p.running.Go(f) }

// kernelConn is a connection of the kernel's.
type kernelConn struct{ *net.TCPConn }

// SetLimit implements scenario.Conn.
func (c kernelConn) SetLimit(limit time.Duration) { _ = c.SetDeadline(deadline(limit)) }

// Reset implements scenario.Conn.
func (c kernelConn) Reset() error { return errors.Join(c.SetLinger(0), c.Close()) }

// kernelPackets is a UDP socket of the kernel's.
type kernelPackets struct{ *net.UDPConn }

// Send implements scenario.Packets.
func (s kernelPackets) Send(data []byte, to netip.AddrPort) error {
	_, err := s.WriteToUDPAddrPort(data, to)
	return err
}

// Receive implements scenario.Packets.
func (s kernelPackets) Receive(limit time.Duration) ([]byte, netip.AddrPort, error) {
	if err := s.SetReadDeadline(deadline(limit)); err != nil {
		return nil, netip.AddrPort{}, err
	}
	buf := make([]byte, 65535)
	n, from, err := s.ReadFromUDPAddrPort(buf)
	return buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), err
}

// resetConn is a connection that has been reset.
type resetConn struct{}

func (resetConn) Read([]byte) (int, error)  { return 0, syscall.ECONNRESET }
func (resetConn) Write([]byte) (int, error) { return 0, syscall.ECONNRESET }
func (resetConn) SetLimit(time.Duration)    {}
func (resetConn) CloseWrite() error         { return syscall.ECONNRESET }
func (resetConn) Reset() error              { return syscall.ECONNRESET }
func (resetConn) Close() error              { return nil }
