package stack_test

import (
	"net/netip"
	"strings"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/stack/iolink/frame"
	"github.com/wskstack/wskstack/test/covers"
)

// offering is a device that says that it takes super-segments.
type offering struct{ iolink.Device }

func (offering) Offloads() frame.Offloads {
	return frame.Offloads{Checksum: true, TSO4: true, TSO6: true, MaxSize: 65535}
}

// hiding is the wrapper that everybody writes first: what is not in the interface is
// gone.
type hiding struct{ gstack.LinkEndpoint }

// meaning hides super-segments on purpose.
type meaning struct{ hiding }

func (m meaning) Capabilities() gstack.LinkEndpointCapabilities {
	return m.hiding.Capabilities() &^ iolink.CapabilityHostGSO
}

// TestHiddenSuperSegments: a stack does not start on a link whose wrapper hides what
// the device below can do; on one that shows it, netstack has it for each connection.
func TestHiddenSuperSegments(t *testing.T) {
	covers.IDs(t, "H-28")
	for name, c := range map[string]struct {
		offers  bool
		wrap    func(*iolink.Link) gstack.LinkEndpoint
		refused bool
		gso     bool
	}{
		"shown":             {offers: true, wrap: func(l *iolink.Link) gstack.LinkEndpoint { return l }, gso: true},
		"hidden":            {offers: true, wrap: func(l *iolink.Link) gstack.LinkEndpoint { return hiding{l} }, refused: true},
		"hidden on purpose": {offers: true, wrap: func(l *iolink.Link) gstack.LinkEndpoint { return meaning{hiding{l}} }},
		"nothing to hide":   {wrap: func(l *iolink.Link) gstack.LinkEndpoint { return hiding{l} }},
	} {
		t.Run(name, func(t *testing.T) {
			dev, _ := iolink.Pipe(1500, 1)
			if c.offers {
				dev = offering{dev}
			}
			l, err := iolink.New(dev, iolink.Config{})
			if err != nil {
				t.Fatal(err)
			}
			s, err := stack.New(stack.Config{Link: c.wrap(l), Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}})
			if c.refused {
				if err == nil || !strings.Contains(err.Error(), "stack_test.hiding") {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			r, terr := s.Netstack().FindRoute(1, tcpip.Address{}, tcpip.AddrFrom4([4]byte{192, 0, 2, 2}), header.IPv4ProtocolNumber, false)
			if terr != nil {
				t.Fatal(terr)
			}
			defer r.Release()
			if got := r.HasHostGSOCapability(); got != c.gso {
				t.Errorf("HasHostGSOCapability is %v", got)
			}
		})
	}
}
