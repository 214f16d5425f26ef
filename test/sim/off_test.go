package sim

import (
	"bytes"
	"math/rand"
	"net/netip"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/stacktest"
	"github.com/wskstack/wskstack/test/covers"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// layering says what is between a netstack and the wire.
type layering uint8

const (
	bare layering = iota // nothing
	off                  // the Fast Open layer, off
	on
)

// bareHost is an unmodified netstack with its defaults, tail-loss probes and all.
type bareHost struct {
	n    *stacktest.Net
	ip   tcpip.NetworkProtocolNumber
	ns   *gstack.Stack
	link *fastopen.Link // nil if bare
	port *stacktest.Port
}

func newBareHost(n *stacktest.Net, name string, line stacktest.LineConfig, addr netip.Addr, l layering) *bareHost {
	h := &bareHost{n: n, ip: ipv4.ProtocolNumber, port: n.Plug(name, line, addr)}
	everywhere := header.IPv4EmptySubnet
	if addr.Is6() {
		h.ip, everywhere = ipv6.ProtocolNumber, header.IPv6EmptySubnet
	}
	var link gstack.LinkEndpoint = h.port
	if l != bare {
		mode := fastopen.ModeOff
		if l == on {
			mode = fastopen.ModeCookieless
		}
		var err error
		if h.link, err = fastopen.New(h.port, fastopen.Config{Mode: mode, Clock: h.port.Clock()}); err != nil {
			n.T().Fatal(err)
		}
		link = h.link
	}
	random := n.Random(name)
	h.ns = gstack.New(gstack.Options{
		NetworkProtocols:   []gstack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []gstack.TransportProtocolFactory{tcp.NewProtocol},
		Clock:              h.port.Clock(), SecureRNG: random, RandSource: rand.Source(random),
	})
	h.port.Guard(h.ns)
	h.must(h.ns.CreateNIC(1, link))
	h.must(h.ns.AddProtocolAddress(1, tcpip.ProtocolAddress{
		Protocol: h.ip, AddressWithPrefix: tcpip.AddrFromSlice(addr.AsSlice()).WithPrefix(),
	}, gstack.AddressProperties{}))
	h.ns.SetRouteTable([]tcpip.Route{{Destination: everywhere, NIC: 1}})
	return h
}

func (h *bareHost) must(err tcpip.Error) {
	if err != nil {
		h.n.T().Fatal(err)
	}
}

func (h *bareHost) endpoint() tcpip.Endpoint {
	ep, err := h.ns.NewEndpoint(tcp.ProtocolNumber, h.ip, new(waiter.Queue))
	h.must(err)
	return ep
}

func (h *bareHost) close() {
	h.port.Release()
	h.ns.Destroy()
}

// pump writes what it can and reads what there is, as a program does that looks
// every few milliseconds.
func pump(ep tcpip.Endpoint, send *bytes.Reader, got *bytes.Buffer) {
	if send.Len() > 0 {
		_, _ = ep.Write(send, tcpip.WriteOptions{})
	}
	for {
		if _, err := ep.Read(got, tcpip.ReadOptions{}); err != nil {
			return
		}
	}
}

// polled is an exchange between two bare hosts over a bad path; the seed decides.
func polled(t *testing.T, seed uint64, v6 bool, l layering) stacktest.Result {
	clientAt, serverAt := client4, server4
	if v6 {
		clientAt, serverAt = client6, server6
	}
	bad := stacktest.Path{Delay: 15 * time.Millisecond, Jitter: 5 * time.Millisecond,
		Loss: 0.03, Duplicate: 0.05, Reorder: 0.05, Corrupt: 0.02}
	return stacktest.Run(t, stacktest.Config{Seed: seed, Dir: *dir}, func(n *stacktest.Net) {
		client := newBareHost(n, "client", stacktest.Both(bad), clientAt, l)
		server := newBareHost(n, "server", stacktest.LineConfig{}, serverAt, l)
		defer client.close()
		defer server.close()
		up, down := stream(seed, 0, 30000, false), stream(seed, 0, 30000, true)

		ln := server.endpoint()
		server.must(ln.Bind(tcpip.FullAddress{Port: port}))
		server.must(ln.Listen(5))
		if server.link != nil {
			fast, err := server.link.Listen(netip.AddrPortFrom(serverAt, port),
				fastopen.ListenConfig{Disabled: l == off, Cookieless: true})
			if err != nil {
				t.Fatal(err)
			}
			defer fast.Close()
		}
		c := client.endpoint()
		if client.link != nil {
			flow := client.link.Offer(fastopen.OfferOptions{Payload: up})
			c.SetOwner(flow)
			defer flow.Release()
		}
		_ = c.Connect(tcpip.FullAddress{Addr: tcpip.AddrFromSlice(serverAt.AsSlice()), Port: port})
		var s tcpip.Endpoint
		var atServer, atClient bytes.Buffer
		toServer, toClient := bytes.NewReader(up), bytes.NewReader(down)
		for range 12000 {
			n.Sleep(10 * time.Millisecond)
			pump(c, toServer, &atClient)
			if s == nil {
				s, _, _ = ln.Accept(nil)
			} else {
				pump(s, toClient, &atServer)
			}
			if atServer.Len() == len(up) && atClient.Len() == len(down) {
				break
			}
		}
		if !bytes.Equal(atServer.Bytes(), up) || !bytes.Equal(atClient.Bytes(), down) {
			n.T().Errorf("the server got %s, the client %s", difference(atServer.Bytes(), up), difference(atClient.Bytes(), down))
		}
		c.Close()
		s.Close()
		ln.Close()
		n.Sleep(5 * time.Minute)
	})
}

// With Fast Open off, the wire carries what it would carry without the layer: the
// same bytes at the same times.
func TestOffIsNetstack(t *testing.T) {
	covers.IDs(t, "B-05", "P6")
	for _, v6 := range []bool{false, true} {
		for seed := range uint64(25) {
			plain := polled(t, seed, v6, bare)
			if with := polled(t, seed, v6, off); with != plain {
				t.Errorf("seed %d, IPv6 %v: %+v with the layer, %+v without", seed, v6, with, plain)
			}
		}
		if polled(t, 0, v6, on).Hash == polled(t, 0, v6, bare).Hash {
			t.Errorf("IPv6 %v: with Fast Open on nothing is different: this test shows nothing", v6)
		}
	}
}
