package fastopen

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/stack/seg"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// ListenConfig is how a listener serves Fast Open. The zero value wants cookies
// and has the default limits.
type ListenConfig struct {
	// MaxPending is how many connections may be open without their client's
	// ACK; over it SYNs open connections the ordinary way (RFC 7413 §5.1).
	// 0 means tfo.DefaultPending; at most 65535. About 4 KiB each.
	MaxPending int
	// MaxPerSource is the same for each client address, 0 means MaxPending. A
	// cookie is good for everybody behind its client's address translator.
	MaxPerSource int
	// Cookieless takes data from everybody. It is for closed networks in which
	// no address can be forged: elsewhere it lets anyone make this host work,
	// and send, on behalf of others (RFC 7413 §5).
	Cookieless bool
	// HoldData delivers a SYN's data at once and sends nothing of the answer
	// before the client's ACK, so that nothing is reflected to a forged address.
	HoldData bool
	// EarlyDataCap is how many bytes of the answer may leave before the
	// client's ACK; 0 means what the initial window of TCP allows.
	EarlyDataCap int
	// ReplayWindow is for how long a duplicate of a SYN opens no connection and
	// brings its data no second time; 0 means tfo.DefaultReplayWindow, less than 0 never.
	ReplayWindow time.Duration
	// Disabled leaves Fast Open off until SetEnabled.
	Disabled bool
	// V6Only keeps a listener on the unspecified IPv6 address from serving
	// IPv4, as the endpoint's option does.
	V6Only bool
}

const maxMaxPending = 65535

func (c *ListenConfig) check() error {
	switch {
	case c.MaxPending < 0 || c.MaxPending > maxMaxPending:
		return fmt.Errorf("fastopen: MaxPending is %d; it may be 0 (the default) to %d", c.MaxPending, maxMaxPending)
	case c.MaxPerSource < 0:
		return errors.New("fastopen: MaxPerSource is negative; use 0 for MaxPending")
	case c.EarlyDataCap < 0:
		return errors.New("fastopen: EarlyDataCap is negative; use 0 for TCP's own limit, or HoldData")
	}
	return nil
}

// ErrListening says that there is a listener with Fast Open at this address and
// port.
var ErrListening = errors.New("fastopen: a listener has this address and port; close it first")

// Listener gives the connections that come in at one address and port Fast Open.
// It is safe for concurrent use.
type Listener struct {
	link         *Link
	local        netip.AddrPort
	v6only       bool
	replayWindow time.Duration
	counters     serverCounters

	mu     sync.Mutex
	server *tfo.Server // guarded by mu
	closed bool        // guarded by mu
}

// Listen switches Fast Open on for connections to local; the unspecified address
// means all of its family, that of IPv6 those of IPv4 as well, and the zero
// address all. It stands beside a listening endpoint of netstack and does not
// make one: that should be given a backlog one larger than wanted, since netstack
// turns to SYN cookies, and the Link away from Fast Open, one before it is full.
func (l *Link) Listen(local netip.AddrPort, cfg ListenConfig) (*Listener, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if local.Port() == 0 {
		return nil, errors.New("fastopen: a listener needs a port; bind the endpoint first and use its address")
	}
	if _, err := l.keys.Keys(l.now()); err != nil {
		return nil, err
	}
	ln := &Listener{
		link: l, local: canonical(local), v6only: cfg.V6Only, replayWindow: cfg.ReplayWindow,
		server: tfo.NewServer(tfo.Policy{
			MaxPending: cfg.MaxPending, MaxPerSource: cfg.MaxPerSource, Cookieless: cfg.Cookieless,
			HoldData: cfg.HoldData, EarlyDataCap: cfg.EarlyDataCap,
		}),
	}
	if ln.replayWindow == 0 {
		ln.replayWindow = tfo.DefaultReplayWindow
	}
	ln.server.SetEnabled(!cfg.Disabled)
	if !l.listeners.add(ln) {
		return nil, ErrListening
	}
	l.active.Add(oneListener)
	return ln, nil
}

// canonical is an address as packets have it.
func canonical(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// Addr is what the listener was made for.
func (ln *Listener) Addr() netip.AddrPort { return ln.local }

// SetEnabled switches Fast Open on or off for SYNs to come. Connections that are
// being opened go on.
func (ln *Listener) SetEnabled(on bool) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.server.SetEnabled(on)
}

// Enabled reports whether Fast Open is on.
func (ln *Listener) Enabled() bool {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	return ln.server.Enabled()
}

// Close makes the address and port ordinary. Connections that are being opened
// go on; netstack resets those that its own listener had not handed out when
// that one is closed. It is idempotent.
func (ln *Listener) Close() {
	ln.mu.Lock()
	was := ln.closed
	ln.closed = true
	ln.mu.Unlock()
	if !was {
		ln.link.listeners.remove(ln)
		ln.link.active.Add(-oneListener)
	}
}

// consider looks at a SYN to the listener. It returns what is to be done with
// the packet, nil if it is to go on as it is.
func (ln *Listener) consider(k key, pkt *gstack.PacketBuffer, syn seg.Segment) opening {
	l := ln.link
	now := l.now()
	l.opened.remove(k)
	// A failure leaves the keys of before in force; there are some since Listen.
	keys, _ := l.keys.Keys(now)
	ln.mu.Lock()
	d := ln.server.Decide(now, syn, keys, l.replays)
	policy := ln.server.Policy()
	ln.mu.Unlock()
	ln.count(d.Events, 0, k)
	switch d.Answer {
	case tfo.AnswerPlain:
		return nil
	case tfo.AnswerDrop:
		l.tellStep(k, pkt, false, tfo.Out{})
		return refused{}
	case tfo.AnswerGrant, tfo.AnswerAccept:
	}
	c := &child{link: l, listener: ln, key: k, machine: tfo.NewChild(now, syn, d, policy)}
	l.active.Add(1)
	l.children.Add(1)
	if had := l.table.putNew(k, c); had != nil {
		l.active.Add(-1)
		l.children.Add(-1)
		ln.ended(d.Answer, k.remote.Addr(), false)
		return had // the same SYN came a second time at this very moment
	}
	return c
}

// ended gives back the place of a child.
func (ln *Listener) ended(a tfo.Answer, source netip.Addr, reset bool) {
	now := ln.link.now()
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.server.End(now, a, source, reset)
}

// count counts events of a connection and tells of them.
func (ln *Listener) count(set tfo.EventSet, bytes int, k key) {
	ln.counters.count(set)
	ln.link.server.count(set)
	ln.link.tellServer(set, bytes, k)
	ln.link.up.wake()
}

// listeners finds the listener that a SYN is for. Its lock is held over no call.
type listeners struct {
	mu    sync.RWMutex
	local map[netip.AddrPort]*Listener // guarded by mu
}

// add enters ln, unless its place is taken.
func (t *listeners) add(ln *Listener) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.local[ln.local] != nil {
		return false
	}
	if t.local == nil {
		t.local = make(map[netip.AddrPort]*Listener)
	}
	t.local[ln.local] = ln
	return true
}

func (t *listeners) remove(ln *Listener) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.local[ln.local] == ln {
		delete(t.local, ln.local)
	}
}

func (t *listeners) all() []*Listener {
	t.mu.RLock()
	defer t.mu.RUnlock()
	all := make([]*Listener, 0, len(t.local))
	for _, ln := range t.local {
		all = append(all, ln)
	}
	return all
}

// find looks for the most exact listener, as netstack does.
func (t *listeners) find(to netip.AddrPort) *Listener {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if ln := t.local[to]; ln != nil {
		return ln
	}
	if to.Addr().Is4() {
		if ln := t.local[netip.AddrPortFrom(netip.IPv4Unspecified(), to.Port())]; ln != nil {
			return ln
		}
	}
	ln := t.local[netip.AddrPortFrom(netip.IPv6Unspecified(), to.Port())]
	if ln != nil && !(ln.v6only && to.Addr().Is4()) {
		return ln
	}
	return t.local[netip.AddrPortFrom(netip.Addr{}, to.Port())]
}
