package stack

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/wskstack/wskstack/stack/iolink"
)

// nicID is the one NIC's.
const nicID tcpip.NICID = 1

// newNetstack makes a netstack without a link. Its IPv6 asks nobody for routers
// and announces no address, which is netstack's default.
func newNetstack(c *Config, probe tcp.TCPProbeFunc) *gstack.Stack {
	return gstack.New(gstack.Options{
		NetworkProtocols: []gstack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []gstack.TransportProtocolFactory{
			tcp.NewProtocolProbe(probe), udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6,
		},
		Clock: c.Clock,
		// What is sent to one's own address stays here, and what comes in from
		// one's own address is dropped. Without it a packet whose source is its
		// own destination (LAND) is answered with a SYN-ACK to oneself, and a
		// route that leads back to us would make a connection with ourselves.
		HandleLocal: true,
		SecureRNG:   &steadyReader{r: c.SecureRandom},
		RandSource:  c.RandSource,
	})
}

// steadyReader makes of any reader one that never fails and may be read by many:
// netstack panics where its source of randomness fails.
type steadyReader struct {
	mu sync.Mutex
	r  io.Reader // guarded by mu; nil: crypto/rand
}

func (s *steadyReader) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.r != nil {
		if _, err := io.ReadFull(s.r, p); err == nil {
			return len(p), nil
		}
	}
	return rand.Read(p) // never fails (Go 1.24)
}

// configure sets what netstack's TCP is to do by default.
func configure(ns *gstack.Stack, c *Config) error {
	// RACK and tail-loss probes off: see the package's documentation.
	recovery := tcpip.TCPRecovery(0)
	sack := tcpip.TCPSACKEnabled(!c.DisableSACK)
	cc := tcpip.CongestionControlOption(c.CongestionControl)
	tuning := tcpip.TCPModerateReceiveBufferOption(true)
	receive := tcpip.TCPReceiveBufferSizeRangeOption(c.ReceiveBuffer)
	send := tcpip.TCPSendBufferSizeRangeOption(c.SendBuffer)
	rto := tcpip.TCPMinRTOOption(c.MinRTO)
	for _, o := range []tcpip.SettableTransportProtocolOption{&recovery, &sack, &cc, &tuning, &receive, &send, &rto} {
		if err := ns.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return fmt.Errorf("stack: netstack refuses %T: %s", o, err)
		}
	}
	return nil
}

// connectLink makes the NIC on a link, with its addresses and routes. The routes
// and addresses come before the NIC is enabled, so no packet meets a stack that
// is half made.
func connectLink(ns *gstack.Stack, link gstack.LinkEndpoint, c *Config) error {
	if c.MTU < link.MTU() {
		if link.SetMTU(c.MTU); link.MTU() != c.MTU {
			return fmt.Errorf("stack: the link (%T) does not let its MTU be lowered to %d", link, c.MTU)
		}
	}
	if err := checkGSO(link, c.Link); err != nil {
		return err
	}
	if err := ns.CreateNICWithOptions(nicID, link, gstack.NICOptions{Disabled: true}); err != nil {
		return fmt.Errorf("stack: netstack refuses the link: %s", err)
	}
	for _, p := range c.Addresses {
		address := tcpip.ProtocolAddress{
			Protocol:          protocolOf(p.Addr()),
			AddressWithPrefix: tcpip.AddressWithPrefix{Address: toTCPIP(p.Addr()), PrefixLen: p.Bits()},
		}
		if err := ns.AddProtocolAddress(nicID, address, gstack.AddressProperties{}); err != nil {
			return fmt.Errorf("stack: netstack refuses the address %v: %s", p, err)
		}
	}
	ns.SetRouteTable(routes(c))
	if err := ns.EnableNIC(nicID); err != nil {
		return fmt.Errorf("stack: netstack cannot enable the link: %s", err)
	}
	return nil
}

// checkGSO says that a wrapper hides the super-segments of the link below it, which
// nobody would notice but by the speed. What it asks is what netstack asks for each
// connection (Route.HasHostGSOCapability).
func checkGSO(link, given gstack.LinkEndpoint) error {
	if link.Capabilities()&iolink.CapabilityHostGSO == 0 {
		return nil
	}
	if g, ok := link.(gstack.GSOEndpoint); ok && g.SupportedGSO() == gstack.HostGSOSupported {
		return nil
	}
	return fmt.Errorf("stack: the device takes super-segments, but the link (%T) hides them, and bulk transfer would be many times slower: let it embed nested.Endpoint or hand on SupportedGSO and GSOMaxSize; if ordinary packets are wanted, open the device without offloads, or clear iolink.CapabilityHostGSO in Capabilities", given)
}

// routes is the route table: longest prefix first, since netstack takes the
// first that fits.
func routes(c *Config) []tcpip.Route {
	all := slices.Clone(c.Routes)
	if c.Routes == nil {
		if c.has(netip.Addr.Is4) {
			all = append(all, Route{Destination: netip.PrefixFrom(netip.IPv4Unspecified(), 0)})
		}
		if c.has(netip.Addr.Is6) {
			all = append(all, Route{Destination: netip.PrefixFrom(netip.IPv6Unspecified(), 0)})
		}
	}
	for _, p := range c.Addresses {
		all = append(all, Route{Destination: p})
	}
	slices.SortStableFunc(all, func(a, b Route) int {
		return cmp.Compare(b.Destination.Bits(), a.Destination.Bits())
	})
	table := make([]tcpip.Route, 0, len(all))
	for _, r := range all {
		table = append(table, tcpip.Route{
			Destination: subnet(r.Destination.Masked()),
			Gateway:     toTCPIP(r.Gateway),
			NIC:         nicID,
		})
	}
	return table
}

// subnet turns a network into netstack's form.
func subnet(p netip.Prefix) tcpip.Subnet {
	if p.Bits() == 0 { // toTCPIP makes a wildcard of the zero address
		if p.Addr().Is4() {
			return header.IPv4EmptySubnet
		}
		return header.IPv6EmptySubnet
	}
	address := tcpip.AddressWithPrefix{Address: tcpip.AddrFromSlice(p.Addr().AsSlice()), PrefixLen: p.Bits()}
	return address.Subnet()
}
