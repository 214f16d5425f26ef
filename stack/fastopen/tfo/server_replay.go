package tfo

import (
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

const (
	// DefaultReplays bounds the openings that are remembered, about 250 bytes
	// each.
	DefaultReplays = 32768
	// DefaultReplayWindow is the longest that a duplicate of a SYN can be
	// under way: the maximum segment lifetime (RFC 9293 §3.4.2).
	DefaultReplayWindow = 2 * time.Minute
)

// Opening names one opening for good: connection and initial sequence number.
type Opening struct {
	Local, Remote netip.AddrPort
	IRS           seqnum.Value
}

// Replays remembers the SYNs that opened a connection, so that a duplicate of
// one opens no other and brings its data no second time (H-27, S-31). It is bounded; when it is
// full, the oldest goes. It is safe for concurrent use; its lock is held over no
// call.
type Replays struct {
	mu   sync.Mutex
	seen *simplelru.LRU[Opening, time.Duration] // guarded by mu; until when
}

// NewReplays returns a memory for so many openings; 0 or less means
// DefaultReplays.
func NewReplays(size int) *Replays {
	if size <= 0 {
		size = DefaultReplays
	}
	// NewLRU fails only for a size that is not positive.
	seen, _ := simplelru.NewLRU[Opening, time.Duration](size, nil)
	return &Replays{seen: seen}
}

// Add remembers an opening until then.
func (r *Replays) Add(o Opening, until time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen.Add(o, until)
}

// Seen reports whether o is remembered.
func (r *Replays) Seen(now time.Duration, o Opening) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, until, ok := r.seen.GetOldest(); ok && now >= until; _, until, ok = r.seen.GetOldest() {
		r.seen.RemoveOldest()
	}
	until, ok := r.seen.Peek(o)
	return ok && now < until
}

// Len is the number of openings remembered.
func (r *Replays) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen.Len()
}
