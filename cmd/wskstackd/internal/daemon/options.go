package daemon

import (
	"net/netip"
	"time"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/fault"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/proxy"
)

// Defaults and limits of Options.
const (
	DefaultDevice         = "wsk0"
	DefaultListen         = "127.0.0.1:1080"
	DefaultWait           = 20 * time.Millisecond
	DefaultMaxConnections = 1024
	DefaultHalfClose      = 2 * time.Minute
	DefaultDrain          = 10 * time.Second
	DefaultConnectTimeout = 30 * time.Second

	// MaxWait bounds the wait for a client's first bytes: longer ones delay every
	// protocol in which the server speaks first.
	MaxWait = 5 * time.Second
	// maxConnections is about what the descriptors of a process allow.
	maxConnections = 1 << 19
	// negotiationLimit is how long a client may take to say what it wants.
	negotiationLimit = 10 * time.Second
)

// Listener is a port of the host.
type Listener struct {
	Address netip.AddrPort
	// Wait is how long a client's first bytes are waited for before a dial whose
	// SYN may carry them; 0: not at all.
	Wait time.Duration
}

// Forward leads a port of the host to a peer that the stack connects to.
type Forward struct {
	Listener
	To proxy.Target
}

// Expose leads a port of the stack to a service of the host.
type Expose struct {
	// At is an address of the stack, or none for all, with a port.
	At netip.AddrPort
	To proxy.Target
}

// Options are what the user chose.
type Options struct {
	// Device is the TUN's name.
	Device string
	// NoOffload makes the TUN carry ordinary packets with complete checksums only, and
	// the stack take them one by one.
	NoOffload bool
	// Links are the host's addresses on the networks between it and the stack,
	// which takes the next address of each: one for each family at the most. None:
	// free ones are looked for.
	Links []netip.Prefix
	// Proxies speak SOCKS5 and HTTP CONNECT. Their addresses are loopback ones,
	// since they ask nobody who he is.
	Proxies  []Listener
	Forwards []Forward
	Exposes  []Expose
	// NAT lets the host forward and translate what the stack sends.
	NAT bool
	// Metrics is where they can be read; the zero value: nowhere.
	Metrics netip.AddrPort
	// DNS are name servers that are asked through the stack. None: the host's
	// resolver is used.
	DNS []netip.AddrPort
	// Deny are networks that the proxies connect nobody to, beside those that
	// nobody should be connected to.
	Deny []netip.Prefix
	// FastOpen is off if the SYN is to carry no data.
	FastOpen bool
	// MaxConnections bounds the connections of all listeners together.
	MaxConnections int
	// HalfClose is how long nothing may move once one side has closed.
	HalfClose time.Duration
	// Drain is how long connections may go on when the daemon is asked to end.
	Drain time.Duration
	// ConnectTimeout bounds a dial, look-up of the name included.
	ConnectTimeout time.Duration
	// RuntimeDir is for the lock and the journal.
	RuntimeDir string
}

// Check says which option cannot be.
func (o *Options) Check() error {
	for name, d := range map[string]time.Duration{"--half-close": o.HalfClose, "--drain": o.Drain, "--connect-timeout": o.ConnectTimeout} {
		if d <= 0 {
			return fault.New(fault.ErrUsage, "%s %v: it has to be positive", name, d)
		}
	}
	if o.MaxConnections < 1 || o.MaxConnections > maxConnections {
		return fault.New(fault.ErrUsage, "--max-connections %d: use 1 to %d", o.MaxConnections, maxConnections)
	}
	if o.Device == "" {
		return fault.New(fault.ErrUsage, "--device: it needs a name, which says whose the device and the firewall table are")
	}
	if o.RuntimeDir == "" {
		return fault.New(fault.ErrUsage, "--runtime-dir: it must not be empty")
	}
	if len(o.Proxies)+len(o.Forwards)+len(o.Exposes) == 0 {
		return fault.New(fault.ErrUsage, "there is nothing to do: leave --listen as it is, or use --forward or --expose")
	}
	for _, l := range o.Proxies {
		if !l.Address.Addr().IsLoopback() {
			return fault.New(fault.ErrUsage, "--listen %v: the proxy serves everybody who reaches it, so it listens on a loopback address only (127.0.0.1, ::1): use 'ssh -L' from elsewhere, or --forward for one target", l.Address)
		}
	}
	return o.checkPlaces()
}

// checkPlaces refuses what would listen twice in one place, and two links of one
// family.
func (o *Options) checkPlaces() error {
	seen := make(map[netip.AddrPort]bool)
	host := []netip.AddrPort{o.Metrics}
	for _, l := range o.Proxies {
		host = append(host, l.Address)
	}
	for _, f := range o.Forwards {
		host = append(host, f.Address)
	}
	for _, a := range host {
		if a.IsValid() && a.Port() != 0 && seen[a] {
			return fault.New(fault.ErrUsage, "%v is given to two listeners: choose another port for one of them", a)
		}
		seen[a] = true
	}
	clear(seen)
	for _, e := range o.Exposes {
		if seen[e.At] {
			return fault.New(fault.ErrUsage, "--expose: the stack's %v is given away twice", e.At)
		}
		seen[e.At] = true
	}
	if len(o.Links) > 2 || len(o.Links) == 2 && o.Links[0].Addr().Is4() == o.Links[1].Addr().Is4() {
		return fault.New(fault.ErrUsage, "--link: one network for each address family is possible")
	}
	return nil
}
