package wire_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/relay"
	"github.com/wskstack/wskstack/test/wire"
)

// limit is when something that hangs gives up; nothing is measured with it.
const limit = 30 * time.Second

// newStack is a plain netstack on a link.
func newStack(link gstack.LinkEndpoint, addresses []netip.Prefix) (*gstack.Stack, error) {
	s := gstack.New(gstack.Options{
		NetworkProtocols:   []gstack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []gstack.TransportProtocolFactory{tcp.NewProtocol},
	})
	if err := s.CreateNIC(1, link); err != nil {
		s.Destroy()
		return nil, errors.New(err.String())
	}
	for _, p := range addresses {
		err := s.AddProtocolAddress(1, tcpip.ProtocolAddress{
			Protocol: protocol(p.Addr()),
			AddressWithPrefix: tcpip.AddressWithPrefix{
				Address: tcpip.AddrFromSlice(p.Addr().AsSlice()), PrefixLen: p.Bits(),
			},
		}, gstack.AddressProperties{})
		if err != nil {
			s.Destroy()
			return nil, errors.New(err.String())
		}
	}
	s.SetRouteTable([]tcpip.Route{
		{Destination: header.IPv4EmptySubnet, NIC: 1}, {Destination: header.IPv6EmptySubnet, NIC: 1},
	})
	return s, nil
}

// end takes the link away before it destroys the stack. Destroy alone waits for the
// link's readers with a lock held that a reader's delivery may want.
func end(s *gstack.Stack, link gstack.LinkEndpoint) {
	s.RemoveNIC(1)
	link.Wait()
	s.Destroy()
}

func protocol(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

func fullAddress(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{Addr: tcpip.AddrFromSlice(a.Addr().AsSlice()), Port: a.Port()}
}

// echo sends size bytes to an echo server of the wire's kernel, through a relay
// that looks at each packet, and compares what comes back.
func echo(w *wire.Wire, family, size int) error {
	srv, err := kernelpeer.Listen(w.Namespace, kernelpeer.ServerConfig{Address: netip.AddrPortFrom(w.PeerAddr(family), 0)})
	if err != nil {
		return err
	}
	defer srv.Close()
	var seen relay.Recorder
	link, err := relay.New(w.Link, relay.Config{Observe: seen.Observe})
	if err != nil {
		return err
	}
	s, err := newStack(link, w.StackAddresses)
	if err != nil {
		return err
	}
	defer end(s, link)
	if err := exchange(s, srv.Addr(), size); err != nil {
		return err
	}
	if !w.Plain {
		return nil // what goes up is not cut and its sums are not finished
	}
	return check(seen.Events(), w.MTU)
}

func exchange(s *gstack.Stack, to netip.AddrPort, size int) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c, err := gonet.DialContextTCP(ctx, s, fullAddress(to), protocol(to.Addr()))
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	sent := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
	written := make(chan error, 1)
	go func() {
		_, err := c.Write(sent)
		written <- errors.Join(err, c.CloseWrite())
	}()
	got, err := io.ReadAll(c)
	if err := errors.Join(err, <-written); err != nil {
		return err
	}
	if !bytes.Equal(got, sent) {
		return fmt.Errorf("%d bytes sent, other %d bytes came back", len(sent), len(got))
	}
	return nil
}

// check says whether all packets have the form they have on a wire.
func check(events []relay.Event, mtu int) error {
	largest := 0
	for _, e := range events {
		s, err := seg.Parse(e.Bytes)
		if err != nil {
			continue // the kernel's multicast reports, say
		}
		if !s.Verify() {
			return fmt.Errorf("a packet going %v has a wrong checksum", e.Direction)
		}
		largest = max(largest, len(e.Bytes))
	}
	if largest == 0 || largest > mtu {
		return fmt.Errorf("the largest of %d packets has %d bytes, the MTU is %d", len(events), largest, mtu)
	}
	return nil
}
