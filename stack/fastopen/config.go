package fastopen

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"gvisor.dev/gvisor/pkg/tcpip"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Mode says whether connections use Fast Open.
type Mode = tfo.Mode

// The modes; see package tfo.
const (
	ModeDefault    = tfo.ModeDefault
	ModeOff        = tfo.ModeOff
	ModeOn         = tfo.ModeOn
	ModeCookieless = tfo.ModeCookieless
)

// Outcome is what Fast Open did for a connection.
type Outcome = tfo.Outcome

// Reason says why Fast Open was not used for it, or not wholly.
type Reason = tfo.Reason

// CookieState is what became of its cookie.
type CookieState = tfo.CookieState

// Config is how a Link works. The zero value is a client with Fast Open on.
type Config struct {
	// Mode is used by connections that do not say otherwise; ModeDefault is
	// ModeOn. Link.SetMode changes it later.
	Mode Mode
	// Peers bounds the cookies kept, and apart from them the verdicts about
	// paths; 0 means tfo.DefaultPeers. About 200 bytes each.
	Peers int
	// MaxSegment caps the segment size that data in a SYN is counted against,
	// 0 means Ethernet's (1460 for IPv4, 1440 for IPv6); at most 65495.
	MaxSegment int
	// Server is what listeners share; see Link.Listen.
	Server ServerConfig
	// OnEvent is told what Fast Open does and sees, one event at a time, in
	// order, and with no lock held; nil means nobody. It is called on the
	// goroutine that brings packets up, or on the Link's own: while it runs
	// nothing goes up, so it must not block. Events of the last moment before
	// Close may be lost.
	OnEvent func(Event)
	// OnStep is told of each packet that the Link changes, makes or keeps, before
	// anything comes of it, for those who explain it (package explain); nil means
	// nobody. It is called with the opening's lock held, from several goroutines: it
	// must not call into the Link, netstack or a link, and what it is shown is the
	// Link's, good for the call and not to be changed.
	OnStep func(Step)
	// Clock is the time of timers and pauses; nil means the system's.
	Clock tcpip.Clock
	// Logger gets a line for each opening at debug level; nil means none.
	Logger *slog.Logger
}

const maxMaxSegment = 65535 - 40

func (c *Config) check() error {
	switch {
	case c.Mode > ModeCookieless:
		return fmt.Errorf("fastopen: mode %d is not one of the four modes", c.Mode)
	case c.Peers < 0:
		return errors.New("fastopen: Peers is negative; use 0 for the default")
	case c.Server.Replays < 0:
		return errors.New("fastopen: Server.Replays is negative; use 0 for the default")
	case c.MaxSegment < 0 || c.MaxSegment > maxMaxSegment:
		return fmt.Errorf("fastopen: MaxSegment is %d; it may be 0 (Ethernet's) to %d", c.MaxSegment, maxMaxSegment)
	}
	return nil
}

// What the types here are to netstack.
var (
	_ gstack.LinkEndpoint = (*Link)(nil)
	_ gstack.GSOEndpoint  = (*Link)(nil)
	_ tcpip.PacketOwner   = (*Flow)(nil)
)
