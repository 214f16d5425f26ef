package netcat

import (
	"net/netip"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/wskstack/wskstack/stack/fastopen"
)

// Reasons why a connection was not opened by its SYN that no event tells of.
const (
	reasonOff      = "off"
	reasonNotAsked = "not-asked"
)

// maxReasons bounds the clients whose reasons are remembered, about 150 bytes each.
const maxReasons = 4096

// reasons remembers what the Fast Open layer said of a client's SYN, until its
// connection is accepted and asks. Its lock is held over no call.
type reasons struct {
	mu   sync.Mutex
	last *simplelru.LRU[netip.AddrPort, string] // guarded by mu
}

func newReasons() *reasons {
	// NewLRU fails only for a size that is not positive.
	last, _ := simplelru.NewLRU[netip.AddrPort, string](maxReasons, nil)
	return &reasons{last: last}
}

// note is the Fast Open layer's OnEvent.
func (r *reasons) note(e fastopen.Event) {
	why := reasonOf(e.Kind)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case e.Kind == fastopen.EventServerAccepted:
		r.last.Remove(e.Remote)
	case why != "":
		r.last.Add(e.Remote, why)
	}
}

// reasonOf is the reason that an event stands for; empty: none.
func reasonOf(k fastopen.EventKind) string {
	switch k {
	case fastopen.EventServerCookieRequested:
		return "cookie-requested"
	case fastopen.EventServerBadCookie:
		return "bad-cookie"
	case fastopen.EventServerOverflow:
		return "too-many-pending"
	case fastopen.EventServerReplayDropped:
		return "replay-dropped"
	case fastopen.EventServerNotTaken:
		return "not-taken"
	}
	return ""
}

// take is the reason of a client, which is forgotten; empty: none is known.
func (r *reasons) take(remote netip.AddrPort) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	why, _ := r.last.Peek(remote)
	r.last.Remove(remote)
	return why
}
