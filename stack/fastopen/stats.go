package fastopen

import (
	"context"
	"log/slog"
	"net/netip"
	"sync/atomic"

	"github.com/wskstack/wskstack/stack/fastopen/tfo"
)

// counters are updated once for each opening, not for each packet.
type counters struct {
	active, activeFail, blackhole, requests, granted, retransmitted atomic.Uint64
	reasons                                                         [tfo.Reasons]atomic.Uint64
}

// Stats are a Link's counters. Those that Linux has bear its names.
type Stats struct {
	// TCPFastOpenActive counts connections whose data in the SYN was wholly
	// acknowledged by the SYN-ACK; TCPFastOpenActiveFail those where it was not.
	TCPFastOpenActive, TCPFastOpenActiveFail uint64
	// TCPFastOpenBlackhole counts how often a path was paused because a SYN with
	// Fast Open got lost on it or was refused. Linux pauses, and counts, for the
	// whole namespace.
	TCPFastOpenBlackhole uint64
	// CookieRequests counts SYNs that asked for a cookie, CookiesGranted
	// SYN-ACKs that brought one.
	CookieRequests, CookiesGranted uint64
	// SYNRetransmits counts connections whose SYN was repeated, without Fast
	// Open.
	SYNRetransmits uint64
	// Reasons counts the openings that ended with each reason.
	Reasons map[Reason]uint64
	// ServerStats are those of all listeners, closed ones included.
	ServerStats
	// Peers and Paths are the entries of the cache, Openings the connections
	// that are being watched.
	Peers, Paths, Openings int
	// QueueDrops counts packets that were dropped on their way up because
	// thousands were waiting for netstack already.
	QueueDrops uint64
}

// Stats returns a snapshot.
func (l *Link) Stats() Stats {
	s := Stats{
		TCPFastOpenActive:     l.stats.active.Load(),
		TCPFastOpenActiveFail: l.stats.activeFail.Load(),
		TCPFastOpenBlackhole:  l.stats.blackhole.Load(),
		CookieRequests:        l.stats.requests.Load(),
		CookiesGranted:        l.stats.granted.Load(),
		SYNRetransmits:        l.stats.retransmitted.Load(),
		Reasons:               make(map[Reason]uint64),
		Openings:              openings(l.active.Load()),
		ServerStats:           l.server.snapshot(),
		QueueDrops:            l.up.dropped.Load(),
	}
	for i := range l.stats.reasons {
		if n := l.stats.reasons[i].Load(); n > 0 {
			s.Reasons[Reason(i)] = n
		}
	}
	s.Peers, s.Paths = l.cache.Len()
	return s
}

// observe counts what has become known of an opening since it was last looked at.
func (l *Link) observe(was, is Outcome, lesson *tfo.Lesson, k key) {
	if was.Cookie == tfo.CookieNone && is.Cookie == tfo.CookieRequested {
		l.stats.requests.Add(1)
	}
	if lesson != nil && !lesson.Granted.Cookie.Empty() {
		l.stats.granted.Add(1)
	}
	if lesson != nil && lesson.Verdict.Pauses() {
		l.stats.blackhole.Add(1)
	}
	if !was.SYNRetransmitted && is.SYNRetransmitted {
		l.stats.retransmitted.Add(1)
	}
	if !concluded(was, is) {
		return
	}
	l.stats.reasons[is.Reason].Add(1)
	switch {
	case is.BytesInSYN == 0:
	case is.BytesAccepted == is.BytesInSYN:
		l.stats.active.Add(1)
	default:
		l.stats.activeFail.Add(1)
	}
	if !l.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	l.log.Debug("fast open", slog.String("local", k.local.String()), slog.String("remote", k.remote.String()),
		slog.Int("in_syn", is.BytesInSYN), slog.Int("accepted", is.BytesAccepted),
		slog.String("cookie", is.Cookie.String()), slog.String("reason", is.Reason.String()))
}

// HasCookie reports whether a connection between these addresses would carry
// data in its SYN now.
func (l *Link) HasCookie(local netip.Addr, remote netip.AddrPort) bool {
	return l.cache.HasCookie(l.now(), tfo.Path{Local: local, Remote: remote.Addr(), Port: remote.Port()})
}

// Forget drops every cookie and verdict, as is right after the network changed.
func (l *Link) Forget() { l.cache.Clear() }
