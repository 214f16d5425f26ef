package netcat

import (
	"net/netip"
	"time"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/fault"
)

func unavailable(format string, args ...any) error {
	return fault.New(fault.ErrUnavailable, format, args...)
}

func usage(format string, args ...any) error {
	return fault.New(fault.ErrUsage, format, args...)
}

// Defaults and limits of Options.
const (
	DefaultWait    = 100 * time.Millisecond
	DefaultTimeout = 30 * time.Second
	MaxRepeat      = 1_000_000
	// MaxRepeated is how much of the input can be sent several times, in bytes.
	MaxRepeated = 64 << 20
	// CloseLimit is how long the end of a connection is waited for.
	CloseLimit = 5 * time.Second
)

// Place is where the stack joins a network.
type Place struct {
	// Family is 4 or 6, or 0: the first that a name has, or both to listen.
	Family int
	// Device is the TUN's name; empty: the kernel's choice.
	Device string
	// NoOffload makes the TUN carry ordinary packets with complete checksums only, and
	// the stack take them one by one.
	NoOffload bool
	// Namespace is the path of the network namespace to join; empty: the caller's.
	Namespace string
	// Link is the host's address on the network between it and the stack, which
	// takes the next address; the zero value: a free one is looked for.
	Link netip.Prefix
}

// check says which option cannot be.
func (p Place) check() error {
	if p.Family != 0 && p.Family != 4 && p.Family != 6 {
		return usage("there is no address family %d: use 4 or 6, or 0, the default, to leave it open", p.Family)
	}
	if p.Link.IsValid() {
		if _, ok := ownAddress(p.Link); !ok {
			return usage("--link %v: it needs two usable addresses, as 198.18.77.1/30 and fd00::1/126 have", p.Link)
		}
	}
	return nil
}

// Options are what the user chose of a connect.
type Options struct {
	Place
	// Target is HOST:PORT.
	Target string
	// FastOpen puts the first payload into the SYN if it is there within Wait.
	FastOpen bool
	Wait     time.Duration
	// Repeat is how many connections are made, one after the other, each with all
	// of the input.
	Repeat int
	// Timeout bounds the connect.
	Timeout time.Duration
}

// Check says which option cannot be.
func (o Options) Check() error {
	switch {
	case o.Wait < 0:
		return usage("--wait %v: it must not be negative", o.Wait)
	case o.Timeout <= 0:
		return usage("--timeout %v: it has to be positive", o.Timeout)
	case o.Repeat < 1 || o.Repeat > MaxRepeat:
		return usage("--repeat %d: use 1 to %d", o.Repeat, MaxRepeat)
	}
	return o.Place.check()
}
