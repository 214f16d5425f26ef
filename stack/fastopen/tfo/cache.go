package tfo

import (
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Bounds and times of the cache. RFC 7413 asks for a negative cache (§4.1.3.1)
// and for waiting before a silent server is asked again (§4.2.1); the figures
// are ours.
const (
	// DefaultPeers is the number of address pairs remembered, and of verdicts.
	DefaultPeers = 4096

	// A path on which SYNs with Fast Open get lost is left alone for
	// lossPause, doubling with each further loss up to maxPause.
	lossPause = 4 * time.Minute
	maxPause  = 24 * time.Hour

	// A server that ignores requests is asked again after quietPause, doubling.
	quietPause = 10 * time.Minute

	// A server that ignores data in SYNs maxNotAcked times in a row, and sends
	// no cookie, gets none for dataPause.
	maxNotAcked = 2
	dataPause   = time.Hour

	// pathMTULife is for how long an ICMP "too big" is remembered (RFC 1191
	// §6.3).
	pathMTULife = 10 * time.Minute

	// After a pause one attempt tries the path while others stay plain; if it
	// brings no verdict, the next may try after the longest handshake.
	probeTime = 130 * time.Second
)

// Path names where a connection goes. Cookies belong to the address pair
// (RFC 7413 §4.1.3), verdicts to the pair and the remote port (§4.1.3.1).
type Path struct {
	Local, Remote netip.Addr
	Port          uint16
}

// canonical folds IPv4-mapped addresses into IPv4.
func (p Path) canonical() Path {
	return Path{p.Local.Unmap(), p.Remote.Unmap(), p.Port}
}

func (p Path) pair() Path { p.Port = 0; return p }

// peer is what is known about an address pair.
type peer struct {
	option Option // the newest cookie, and its kind
	mss    uint16 // of the newest SYN-ACK
	// pathMSS is a bound from ICMP, until pathUntil.
	pathMSS   uint16
	pathUntil time.Duration
}

// segment is the MSS to count with, 0 if it is not known.
func (p peer) segment(now time.Duration) uint16 {
	if p.pathMSS != 0 && now < p.pathUntil && (p.mss == 0 || p.pathMSS < p.mss) {
		return p.pathMSS
	}
	return p.mss
}

// record is what is known about a path: why Fast Open is being held back.
type record struct {
	losses   int           // SYNs with Fast Open lost or refused in a row
	paused   time.Duration // no Fast Open before this time
	ignored  int           // requests ignored in a row
	quiet    time.Duration // no request before this time
	notAcked int           // SYNs whose data was ignored in a row
	noData   time.Duration // no data before this time
	probing  time.Duration // after a pause one attempt is under way until then
}

// Cache is a client's memory: cookies and MSS by address pair, verdicts by path.
// It is bounded; the entry unused for longest goes first. It keeps nothing
// beyond the life of the process. It is safe for concurrent use; its lock is
// held over no call.
type Cache struct {
	mu    sync.Mutex
	peers *simplelru.LRU[Path, peer]   // guarded by mu
	paths *simplelru.LRU[Path, record] // guarded by mu
}

// NewCache returns an empty cache for so many address pairs; 0 or less means
// DefaultPeers.
func NewCache(size int) *Cache {
	if size <= 0 {
		size = DefaultPeers
	}
	// NewLRU fails only for a size that is not positive.
	peers, _ := simplelru.NewLRU[Path, peer](size, nil)
	paths, _ := simplelru.NewLRU[Path, record](size, nil)
	return &Cache{peers: peers, paths: paths}
}

// Plan says what the SYN of a connection on this path is to carry. mode is ModeOn
// or ModeCookieless; any other plans a plain SYN.
func (c *Cache) Plan(now time.Duration, path Path, mode Mode) Plan {
	if mode != ModeOn && mode != ModeCookieless {
		return Plan{Reason: ReasonOff}
	}
	path = path.canonical()
	c.mu.Lock()
	defer c.mu.Unlock()
	plan := c.plan(now, path, mode)
	if rec, _ := c.paths.Get(path); rec.losses > 0 && plan.Action != SendPlain {
		rec.probing = now + probeTime
		c.paths.Add(path, rec)
	}
	return plan
}

// plan is called with c.mu held; path is canonical.
func (c *Cache) plan(now time.Duration, path Path, mode Mode) Plan {
	known, _ := c.peers.Get(path.pair())
	rec, _ := c.paths.Get(path)
	switch held := max(rec.paused, rec.probing); {
	case now < held:
		return Plan{Reason: ReasonPaused, PausedUntil: held}
	case mode == ModeCookieless:
		return Plan{Action: SendBare, MSS: known.segment(now)}
	case known.option.Cookie.Empty() && now < rec.quiet:
		return Plan{Reason: ReasonServerSilent, PausedUntil: rec.quiet}
	case known.option.Cookie.Empty():
		return Plan{Action: SendRequest, Option: Option{Kind: requestKind(rec.ignored)}, Reason: ReasonNoCookie}
	case now < rec.noData:
		return Plan{Action: SendRequest, Option: Option{Kind: known.option.Kind}, MSS: known.segment(now),
			Reason: ReasonDataRefused, PausedUntil: rec.noData}
	}
	return Plan{Action: SendCookie, Option: known.option, MSS: known.segment(now)}
}

// requestKind is the ladder for servers that never answer: the assigned kind,
// once the experimental one, then the assigned one for good.
func requestKind(ignored int) Kind {
	if ignored == 1 {
		return KindExp
	}
	return KindFO
}

// HasCookie reports whether a connection would carry data in its SYN.
func (c *Cache) HasCookie(now time.Duration, path Path) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.plan(now, path.canonical(), ModeOn).Action == SendCookie
}

// Learn takes in what an attempt on this path showed. It returns for how long
// Fast Open, or a part of it, is held back because of that; 0 if it is not.
func (c *Cache) Learn(now time.Duration, path Path, l Lesson) time.Duration {
	path = path.canonical()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.learnPeer(now, path.pair(), l)
	rec, _ := c.paths.Get(path)
	rec.apply(now, l.Verdict)
	if rec == (record{}) {
		c.paths.Remove(path)
		return 0
	}
	c.paths.Add(path, rec)
	return rec.heldBy(now, l.Verdict)
}

// heldBy is for how long the verdict that came last holds something back.
func (r *record) heldBy(now time.Duration, v Verdict) time.Duration {
	var until time.Duration
	switch v {
	case VerdictLost, VerdictRefused, VerdictNoAnswer:
		until = r.paused
	case VerdictIgnored:
		until = r.quiet
	case VerdictNotAcked:
		until = r.noData
	case VerdictNone, VerdictAccepted, VerdictStale, VerdictGranted:
	}
	return max(until-now, 0)
}

// learnPeer is called with c.mu held.
func (c *Cache) learnPeer(now time.Duration, pair Path, l Lesson) {
	known, had := c.peers.Get(pair)
	if !l.Granted.Cookie.Empty() {
		known.option = l.Granted
	}
	if l.MSS != 0 {
		known.mss = l.MSS
	}
	if l.PathMSS != 0 {
		known.pathMSS, known.pathUntil = l.PathMSS, now+pathMTULife
	}
	if had || known != (peer{}) {
		c.peers.Add(pair, known)
	}
}

// apply moves the record on by one verdict.
func (r *record) apply(now time.Duration, v Verdict) {
	if v != VerdictNone {
		r.probing = 0
	}
	switch v {
	case VerdictAccepted, VerdictStale, VerdictGranted:
		*r = record{}
	case VerdictLost, VerdictRefused:
		r.pause(now, 1)
	case VerdictNoAnswer:
		r.pause(now, 2)
	case VerdictNotAcked:
		r.notAcked++
		if r.notAcked >= maxNotAcked {
			r.noData = now + dataPause
		}
	case VerdictIgnored:
		r.quiet = now + doubled(quietPause, r.ignored)
		r.ignored++
	case VerdictNone:
	}
}

// pause counts losses; the first of them costs lossPause.
func (r *record) pause(now time.Duration, losses int) {
	r.losses += losses
	r.paused = now + doubled(lossPause, r.losses-1)
}

// doubled is base·2^n, at most maxPause.
func doubled(base time.Duration, n int) time.Duration {
	for ; n > 0 && base < maxPause; n-- {
		base *= 2
	}
	return min(base, maxPause)
}

// Len is the number of address pairs and of paths that are remembered.
func (c *Cache) Len() (peers, paths int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peers.Len(), c.paths.Len()
}

// Clear forgets everything, as is right after the network changed: cookies tell
// a server that two connections come from one client (RFC 7413 §5).
func (c *Cache) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peers.Purge()
	c.paths.Purge()
}
