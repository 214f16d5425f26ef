package stack

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/stack/fastopen"
)

// The defaults of a Config.
const (
	// DefaultConnectTimeout is enough for five SYNs (0, 1, 3, 7 and 15 s).
	DefaultConnectTimeout = 30 * time.Second
	// DefaultCloseTimeout is about what Linux allows a connection without an
	// owner.
	DefaultCloseTimeout = 2 * time.Minute
	// DefaultBacklog is how many connections may wait for Accept.
	DefaultBacklog = 128
	// DefaultCongestionControl is RFC 9438's.
	DefaultCongestionControl = "cubic"

	// The defaults of both BufferSizes, in bytes; the largest ones are of one direction
	// each. A receive buffer allows half of itself on the way, or a quarter where it comes in
	// bursts, so this one has room for what Linux sends by default.
	DefaultBufferMin        = 4 << 10
	DefaultBufferInitial    = 128 << 10
	DefaultReceiveBufferMax = 16 << 20
	DefaultSendBufferMax    = 4 << 20

	// DefaultMinRTO is Linux's; LeastMinRTO and MostMinRTO are Config.MinRTO's limits.
	DefaultMinRTO = 200 * time.Millisecond
	LeastMinRTO   = time.Millisecond
	MostMinRTO    = time.Minute

	// LargestBuffer is the largest BufferSize.Max.
	LargestBuffer = 256 << 20
)

// The smallest MTUs (RFC 791 §3.2, RFC 8200 §5).
const (
	minMTUv4 = 68
	minMTUv6 = 1280
)

// BufferSize bounds the buffer of each connection in one direction, in bytes. A
// buffer begins with Default and grows on its own up to Max; a size that is set
// on an endpoint lies between Min and Max and no longer changes. Zero fields
// take the defaults. It is memory only while it is filled.
//
// Max decides how fast a connection can be on a long way: SendBuffer.Max a round trip
// when sending; half of ReceiveBuffer.Max a round trip when receiving, or a quarter if the
// peer sends in bursts. A peer can fill ReceiveBuffer.Max when the program stops reading.
type BufferSize struct{ Min, Default, Max int }

// Route says where packets go.
type Route struct {
	// Destination is the network that the route leads to.
	Destination netip.Prefix
	// Gateway is the next hop, which has to be in one of the stack's networks.
	// The zero value, right for point-to-point links such as a TUN: the
	// destination is reached over the link itself.
	Gateway netip.Addr
}

// Config describes a Stack. Its zero value is useful except for Link. It is not
// changed, and not used after New.
type Config struct {
	// Link carries the packets. New takes it over, whether it succeeds or not,
	// and Close closes it. One that hides what the device below it can do is
	// refused, see iolink.CapabilityHostGSO.
	Link gstack.LinkEndpoint

	// Addresses are the stack's own, each with the length of its network's
	// prefix. None: no connection can be made until Netstack is given one.
	Addresses []netip.Prefix

	// Routes are the stack's, beside those to the networks of Addresses. Nil:
	// a default route over the link for each family that has an address.
	Routes []Route

	// NameServers are asked by dials to names; see Stack.Resolver. Nil: those of
	// the machine's /etc/resolv.conf, reached over the stack as well.
	NameServers []netip.AddrPort

	// MTU lowers the link's. 0: the link's. At least 68, and 1280 where there is
	// an IPv6 address.
	MTU uint32

	// ReceiveBuffer and SendBuffer bound the buffers of each connection.
	ReceiveBuffer, SendBuffer BufferSize

	// DisableSACK turns off selective acknowledgements (RFC 2018).
	DisableSACK bool

	// CongestionControl is "cubic" (also if empty) or "reno". Netstack's Reno sends more
	// than RFC 5681 allows where packets get lost, at the cost of whoever shares the path.
	CongestionControl string

	// MinRTO is the least time after which what is not acknowledged is sent again, between
	// LeastMinRTO and MostMinRTO. 0: DefaultMinRTO. It does not change when SYNs are sent again. Less
	// helps where the round trip is short and the link loses packets; it has to stay
	// above the round trip and what peers delay their acknowledgements by (40 ms and
	// more), or packets are sent twice for nothing.
	MinRTO time.Duration

	// FastOpen configures the Fast Open layer. Its Clock and Logger default to
	// those of the stack.
	FastOpen fastopen.Config

	// Clock is behind every timer and timestamp. Nil: the system's.
	Clock tcpip.Clock

	// SecureRandom feeds sequence numbers, ports and keys. Nil: crypto/rand. One
	// that fails is replaced by crypto/rand for that read. It needs no lock.
	SecureRandom io.Reader

	// RandSource feeds what need not be secret, such as the jitter of timers; it
	// has to be safe for concurrent use. Nil: seeded from SecureRandom.
	RandSource rand.Source

	// WakeWorker decides when the goroutine of a connect goes on, for simulations
	// in which everything has its turn: it is given the function that wakes it, on
	// goroutines and under locks of netstack's, and must not block. Every wake has
	// to be called in the end. Nil: at once.
	WakeWorker func(wake func())

	// Logger gets what a person should know. Nil: nothing is logged.
	Logger *slog.Logger

	// ConnectTimeout is how long a connect may take, the hand-over of its first
	// data included. 0: DefaultConnectTimeout. Netstack itself gives up after
	// 127 s, however long this is.
	ConnectTimeout time.Duration

	// CloseTimeout is how long a closed endpoint may go on to deliver what was
	// written to it; then it is aborted. 0: DefaultCloseTimeout.
	CloseTimeout time.Duration

	// Backlog is how many connections may wait for Accept where Listen is not
	// told. 0: DefaultBacklog.
	Backlog int
}

// fill replaces the zero values by the defaults.
func (c *Config) fill() {
	if c.Clock == nil {
		c.Clock = tcpip.NewStdClock()
	}
	if c.FastOpen.Clock == nil {
		c.FastOpen.Clock = c.Clock
	}
	if c.FastOpen.Logger == nil {
		c.FastOpen.Logger = c.Logger
	}
	if c.CongestionControl == "" {
		c.CongestionControl = DefaultCongestionControl
	}
	if c.MinRTO == 0 {
		c.MinRTO = DefaultMinRTO
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = DefaultConnectTimeout
	}
	if c.CloseTimeout == 0 {
		c.CloseTimeout = DefaultCloseTimeout
	}
	if c.Backlog == 0 {
		c.Backlog = DefaultBacklog
	}
	if c.MTU == 0 {
		c.MTU = c.Link.MTU()
	}
	c.ReceiveBuffer.fill(DefaultReceiveBufferMax)
	c.SendBuffer.fill(DefaultSendBufferMax)
}

func (b *BufferSize) fill(most int) {
	if b.Max == 0 {
		b.Max = max(most, b.Default, b.Min)
	}
	if b.Default == 0 {
		b.Default = max(min(DefaultBufferInitial, b.Max), b.Min)
	}
	if b.Min == 0 {
		b.Min = min(DefaultBufferMin, b.Default)
	}
}

// check says what is wrong with a filled Config.
func (c *Config) check() error {
	for _, err := range []error{
		c.checkMTU(),
		c.checkAddresses(),
		c.checkRoutes(),
		c.checkNameServers(),
		c.ReceiveBuffer.check("ReceiveBuffer"),
		c.SendBuffer.check("SendBuffer"),
	} {
		if err != nil {
			return err
		}
	}
	switch c.CongestionControl {
	case "cubic", "reno":
	default:
		return fmt.Errorf(`stack: Config.CongestionControl is %q; it can be "cubic" or "reno"`, c.CongestionControl)
	}
	switch {
	case c.MinRTO < LeastMinRTO || c.MinRTO > MostMinRTO:
		return fmt.Errorf("stack: Config.MinRTO is %v; it has to be between %v and %v, or 0 for %v", c.MinRTO, LeastMinRTO, MostMinRTO, DefaultMinRTO)
	case c.ConnectTimeout < 0:
		return fmt.Errorf("stack: Config.ConnectTimeout is %v; it has to be positive, or 0 for %v", c.ConnectTimeout, DefaultConnectTimeout)
	case c.CloseTimeout < 0:
		return fmt.Errorf("stack: Config.CloseTimeout is %v; it has to be positive, or 0 for %v", c.CloseTimeout, DefaultCloseTimeout)
	case c.Backlog < 0:
		return fmt.Errorf("stack: Config.Backlog is %d; it has to be positive, or 0 for %d", c.Backlog, DefaultBacklog)
	}
	return nil
}

func (c *Config) checkMTU() error {
	least, family := uint32(minMTUv4), "IPv4"
	if c.has(netip.Addr.Is6) {
		least, family = minMTUv6, "IPv6"
	}
	switch most := c.Link.MTU(); {
	case most < least:
		return fmt.Errorf("stack: the link's MTU is %d; %s needs %d", most, family, least)
	case c.MTU < least:
		return fmt.Errorf("stack: Config.MTU is %d; %s needs %d", c.MTU, family, least)
	case c.MTU > most:
		return fmt.Errorf("stack: Config.MTU is %d; the link carries no more than %d", c.MTU, most)
	}
	return nil
}

// has says whether one of the addresses is of a kind.
func (c *Config) has(kind func(netip.Addr) bool) bool {
	for _, p := range c.Addresses {
		if kind(p.Addr()) {
			return true
		}
	}
	return false
}

func (c *Config) checkAddresses() error {
	seen := make(map[netip.Addr]bool)
	for _, p := range c.Addresses {
		a := p.Addr()
		if !p.IsValid() {
			return fmt.Errorf("stack: Config.Addresses has %v, which is not an address with a prefix length", p)
		}
		if why := notUnicast(a); why != "" {
			return fmt.Errorf("stack: Config.Addresses has %v, which is %s", p, why)
		}
		if seen[a] {
			return fmt.Errorf("stack: Config.Addresses has %v twice", a)
		}
		seen[a] = true
	}
	return nil
}

// notUnicast says why an address cannot be a host's on a link; "" if it can.
func notUnicast(a netip.Addr) string {
	switch {
	case a.Is4In6():
		return "an IPv4 address in IPv6 form; give the IPv4 address"
	case a.Zone() != "":
		return "an address with a zone; there is one link only"
	case a.IsUnspecified():
		return "the unspecified address"
	case a.IsLoopback():
		return "a loopback address"
	case a.IsMulticast():
		return "a multicast address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "the broadcast address"
	}
	return ""
}

func (c *Config) checkRoutes() error {
	for _, r := range c.Routes {
		if !r.Destination.IsValid() || r.Destination.Addr().Is4In6() {
			return fmt.Errorf("stack: Config.Routes has the destination %v, which is not a network", r.Destination)
		}
		if r.Gateway == (netip.Addr{}) {
			continue
		}
		if err := c.checkGateway(r); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) checkNameServers() error {
	for _, a := range c.NameServers {
		if !a.IsValid() || isAny(a.Addr()) || a.Port() == 0 {
			return fmt.Errorf("stack: Config.NameServers has %v; it has to be an address with a port, mostly 53", a)
		}
	}
	return nil
}

func (c *Config) checkGateway(r Route) error {
	if why := notUnicast(r.Gateway); why != "" {
		return fmt.Errorf("stack: the route to %v has the gateway %v, which is %s", r.Destination, r.Gateway, why)
	}
	if r.Gateway.Is4() != r.Destination.Addr().Is4() {
		return fmt.Errorf("stack: the route to %v has the gateway %v, which is of the other family", r.Destination, r.Gateway)
	}
	reachable := false
	for _, p := range c.Addresses {
		if p.Addr() == r.Gateway {
			return fmt.Errorf("stack: the route to %v has the gateway %v, which is the stack's own address", r.Destination, r.Gateway)
		}
		reachable = reachable || p.Contains(r.Gateway)
	}
	if !reachable {
		return fmt.Errorf("stack: the route to %v has the gateway %v, which is in none of the networks of Config.Addresses; on a point-to-point link leave Gateway out", r.Destination, r.Gateway)
	}
	return nil
}

func (b BufferSize) check(name string) error {
	if b.Min <= 0 || b.Min > b.Default || b.Default > b.Max || b.Max > LargestBuffer {
		return fmt.Errorf("stack: Config.%s is {Min: %d, Default: %d, Max: %d}; it has to be 0 < Min <= Default <= Max <= %d", name, b.Min, b.Default, b.Max, LargestBuffer)
	}
	return nil
}
