package stack_test

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/seg"
)

// unreachable gives the stack what a router answers to a segment.
func (r *rig) unreachable(to seg.Segment, code header.ICMPv4Code) {
	r.t.Helper()
	m := icmp.Message{Type: ipv4.ICMPTypeDestinationUnreachable, Code: int(code), Body: &icmp.DstUnreach{Data: to.Bytes()}}
	b, err := m.Marshal(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	ip := make(header.IPv4, header.IPv4MinimumSize)
	ip.Encode(&header.IPv4Fields{
		TotalLength: uint16(len(ip) + len(b)), TTL: 64, Protocol: uint8(header.ICMPv4ProtocolNumber),
		SrcAddr: tcpip.AddrFrom4([4]byte{10, 0, 0, 254}), DstAddr: tcpip.AddrFrom4(to.Src().Addr().As4()),
	})
	ip.SetChecksum(^ip.CalculateChecksum())
	r.inject(append(ip, b...))
}

// wireTable are the rows of the table of errors that take a network which misbehaves,
// so that package net cannot be asked on this machine. What Linux says is known: of
// ICMP from RFC 1122 §4.2.3.9 and tcp(7), of ports from a range with one in it.
var wireTable = map[string]struct {
	provoke func(t *testing.T, r *rig) error
	is      error
	timeout bool
}{
	"dial: no answer": {is: syscall.ETIMEDOUT, timeout: true, provoke: func(_ *testing.T, r *rig) error {
		return r.dialWhile(func(seg.Segment) {
			waiting(r.t, 1) // the limit is set by then
			r.clock.Advance(stack.DefaultConnectTimeout)
		})
	}},
	"dial: host unreachable": {is: syscall.EHOSTUNREACH, provoke: func(_ *testing.T, r *rig) error {
		return r.dialWhile(func(syn seg.Segment) { r.unreachable(syn, header.ICMPv4HostUnreachable) })
	}},
	"dial: network unreachable": {is: syscall.ENETUNREACH, provoke: func(_ *testing.T, r *rig) error {
		return r.dialWhile(func(syn seg.Segment) { r.unreachable(syn, header.ICMPv4NetUnreachable) })
	}},
	"dial: port unreachable": {is: syscall.ECONNREFUSED, provoke: func(_ *testing.T, r *rig) error {
		return r.dialWhile(func(syn seg.Segment) { r.unreachable(syn, header.ICMPv4PortUnreachable) })
	}},
	"dial: no port is free": {is: syscall.EADDRNOTAVAIL, provoke: func(t *testing.T, r *rig) error {
		r.onePort()
		_ = r.established() // has it
		return second(r.stack.DialContext(t.Context(), "tcp", r.peer.String()))
	}},
	"dial: from port 0, no port is free": {is: syscall.EADDRINUSE, provoke: func(t *testing.T, r *rig) error {
		r.onePort()
		_ = r.established()
		d := stack.Dialer{Stack: r.stack, LocalAddr: &net.TCPAddr{IP: addrA.AsSlice()}}
		return second(d.DialContext(t.Context(), "tcp", r.peer.String()))
	}},
	"listen: no port is free": {is: syscall.EADDRINUSE, provoke: func(_ *testing.T, r *rig) error {
		r.onePort()
		_ = r.established()
		return second(r.stack.Listen("tcp", addrA.String()+":0"))
	}},
	"listen: no port for packets is free": {is: syscall.EADDRINUSE, provoke: func(_ *testing.T, r *rig) error {
		r.onePort()
		r.must(second(r.stack.ListenPacket("udp", addrA.String()+":0")))
		return second(r.stack.ListenPacket("udp", addrA.String()+":0"))
	}},
	"read: keep-alive probes unanswered": {is: syscall.ETIMEDOUT, timeout: true, provoke: func(_ *testing.T, r *rig) error {
		c := r.established()
		for range stack.DefaultKeepAliveCount + 2 {
			r.clock.Advance(stack.DefaultKeepAliveIdle)
			r.all()
		}
		return second(c.Read(make([]byte, 1)))
	}},
	"read: nothing sent is acknowledged": {is: syscall.ETIMEDOUT, timeout: true, provoke: func(_ *testing.T, r *rig) error {
		c := r.established()
		r.must(second(c.Write([]byte("x"))))
		for range 100 { // more than netstack's 15 attempts take
			r.clock.Advance(time.Minute)
			r.all()
		}
		return second(c.Read(make([]byte, 1)))
	}},
	"ping: no answer": {is: os.ErrDeadlineExceeded, timeout: true, provoke: func(t *testing.T, r *rig) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		return second(r.stack.Ping(ctx, r.peer.Addr().String()))
	}},
}

// TestErrorsOfTheWire provokes each row.
func TestErrorsOfTheWire(t *testing.T) {
	for name, row := range wireTable {
		t.Run(name, func(t *testing.T) {
			err := row.provoke(t, newRig(t, stack.Config{}))
			var op *net.OpError
			if !errors.Is(err, row.is) || !errors.As(err, &op) || op.Timeout() != row.timeout {
				t.Errorf("%v (%s), want %v", err, shape(err), row.is)
			}
		})
	}
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// onePort leaves one ephemeral port.
func (r *rig) onePort() {
	r.t.Helper()
	if err := r.ns.SetPortRange(40000, 40000); err != nil {
		r.t.Fatal(err)
	}
}

// dialWhile dials without Fast Open, which would try again without its option, and
// calls f once the SYN is on the wire.
func (r *rig) dialWhile(f func(syn seg.Segment)) error {
	r.t.Helper()
	failed := make(chan error, 1)
	go func() {
		d := stack.Dialer{Stack: r.stack, FastOpen: fastopen.ModeOff}
		failed <- second(d.DialContext(r.t.Context(), "tcp", r.peer.String()))
	}()
	f(r.wait())
	return <-failed
}

// established is a connection to the peer.
func (r *rig) established() net.Conn {
	r.t.Helper()
	dialled := make(chan net.Conn, 1)
	go func() {
		c, err := r.stack.DialContext(r.t.Context(), "tcp", r.peer.String())
		if err != nil {
			r.t.Error(err)
		}
		dialled <- c
	}()
	syn := r.wait()
	r.answer(syn, seg.SYN|seg.ACK, 100, syn.End(), nil, nil)
	c := <-dialled
	if c == nil {
		r.t.FailNow()
	}
	r.all()
	return c
}
