package fastopen_test

import (
	"fmt"
	"net/netip"

	"github.com/wskstack/wskstack/stack/fastopen"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/pipe"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// program is a program that embeds netstack already. One line in it is new.
func program(lower gstack.LinkEndpoint, address tcpip.Address) (*gstack.Stack, *fastopen.Link) {
	s := gstack.New(gstack.Options{
		NetworkProtocols:   []gstack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []gstack.TransportProtocolFactory{tcp.NewProtocol},
	})
	link, err := fastopen.New(lower, fastopen.Config{}) // the new line; below, link in place of lower
	if err != nil {
		panic(err)
	}
	if err := s.CreateNIC(1, link); err != nil {
		panic(err)
	}
	at := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: address.WithPrefix()}
	if err := s.AddProtocolAddress(1, at, gstack.AddressProperties{}); err != nil {
		panic(err)
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: 1}})
	return s, link
}

// end removes the link before netstack is destroyed; see the package's page.
func end(s *gstack.Stack, link *fastopen.Link) {
	s.Close()
	if err := s.RemoveNIC(1); err != nil {
		panic(err)
	}
	link.Wait()
	s.Destroy()
}

// connect is netstack's connect, with data for the SYN. What is offered is written
// afterwards all the same; what the peer has already does not leave again.
func connect(s *gstack.Stack, link *fastopen.Link, to tcpip.FullAddress, data []byte) (*gonet.TCPConn, *fastopen.Flow) {
	var queue waiter.Queue
	ep, err := s.NewEndpoint(tcp.ProtocolNumber, ipv4.ProtocolNumber, &queue)
	if err != nil {
		panic(err)
	}
	flow := link.Offer(fastopen.OfferOptions{Payload: data})
	ep.SetOwner(flow)
	up, writable := waiter.NewChannelEntry(waiter.WritableEvents)
	queue.EventRegister(&up)
	if err := ep.Connect(to); err != nil {
		if _, started := err.(*tcpip.ErrConnectStarted); !started {
			panic(err)
		}
		<-writable
	}
	queue.EventUnregister(&up)
	c := gonet.NewTCPConn(&queue, ep)
	if _, err := c.Write(data); err != nil { // an error too, if the connect failed
		panic(err)
	}
	return c, flow
}

// Wrap a program's netstack: the client offers data, the server listens beside its
// listening endpoint.
func Example() {
	left, right := pipe.New("", "", 1500)
	server, serverLink := program(left, tcpip.AddrFrom4([4]byte{10, 0, 0, 1}))
	client, clientLink := program(right, tcpip.AddrFrom4([4]byte{10, 0, 0, 2}))
	at := tcpip.FullAddress{NIC: 1, Addr: tcpip.AddrFrom4([4]byte{10, 0, 0, 1}), Port: 80}

	l, err := gonet.ListenTCP(server, at, ipv4.ProtocolNumber)
	if err != nil {
		panic(err)
	}
	if _, err := serverLink.Listen(netip.MustParseAddrPort("10.0.0.1:80"), fastopen.ListenConfig{}); err != nil {
		panic(err)
	}

	for range 2 {
		c, flow := connect(client, clientLink, at, []byte("hello"))
		s, err := l.Accept()
		if err != nil {
			panic(err)
		}
		buf := make([]byte, 5)
		n, err := s.Read(buf)
		out := flow.Outcome()
		fmt.Printf("%s %v; %d bytes in the SYN, %d accepted\n", buf[:n], err, out.BytesInSYN, out.BytesAccepted)
		c.Close()
		s.Close()
		flow.Release() // when the endpoint is closed
	}
	l.Close()
	end(client, clientLink)
	end(server, serverLink)
	// Output:
	// hello <nil>; 0 bytes in the SYN, 0 accepted
	// hello <nil>; 5 bytes in the SYN, 5 accepted
}
