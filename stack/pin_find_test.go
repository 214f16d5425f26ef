package stack_test

import (
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/raw"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/covers"
)

// TestPinFindEndpoint asks for the endpoint of a segment before there is a listener,
// with one, and with a connection between the same ports.
func TestPinFindEndpoint(t *testing.T) {
	covers.IDs(t, "PIN-find-endpoint")
	r := newBareRig(t)
	find := func() gstack.TransportEndpoint {
		return r.ns.FindTransportEndpoint(header.IPv4ProtocolNumber, tcp.ProtocolNumber, gstack.TransportEndpointID{
			LocalPort: 80, LocalAddress: tcpip.AddrFrom4(r.local.As4()),
			RemotePort: 1000, RemoteAddress: tcpip.AddrFrom4(r.peer.Addr().As4()),
		}, 1)
	}
	bound, _ := r.socket()
	if err := bound.Bind(tcpip.FullAddress{Port: 80}); err != nil {
		t.Fatal(err)
	}
	if got := find(); got != nil {
		t.Errorf("found %T though nobody listens", got)
	}
	if err := bound.Listen(8); err != nil {
		t.Fatal(err)
	}
	if got := find(); got != bound.(gstack.TransportEndpoint) {
		t.Errorf("found %p, not the listener", got)
	}
	r.client(1000, seg.SYN, 100, 0, nil, nil)
	synAck := r.next()
	if got := find(); got == nil || got == bound.(gstack.TransportEndpoint) {
		t.Errorf("found %p, not the connection", got)
	}
	r.client(1000, seg.ACK, 101, synAck.Seq().Add(1), nil, nil)
	bound.Abort()
}

// TestPinRawRegistered asks for raw endpoints of a protocol that netstack has not.
func TestPinRawRegistered(t *testing.T) {
	covers.IDs(t, "PIN-raw-registered")
	r := newBareRig(t)
	_, err := raw.NewEndpoint(r.ns, header.IPv4ProtocolNumber, 253, new(waiter.Queue))
	if _, refused := err.(*tcpip.ErrNotSupported); !refused {
		t.Errorf("got %v", err)
	}
}
