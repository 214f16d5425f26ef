package netcat

import (
	"net/netip"
	"testing"

	"github.com/wskstack/wskstack/stack/fastopen"
)

// Each thing that a listener can say of a SYN is a reason, or none; it is told once,
// and to the connection of that client alone.
func TestReasons(t *testing.T) {
	client, other := netip.MustParseAddrPort("192.0.2.1:1000"), netip.MustParseAddrPort("192.0.2.1:1001")
	for kind, want := range map[fastopen.EventKind]string{
		fastopen.EventServerCookieRequested: "cookie-requested",
		fastopen.EventServerBadCookie:       "bad-cookie",
		fastopen.EventServerOverflow:        "too-many-pending",
		fastopen.EventServerReplayDropped:   "replay-dropped",
		fastopen.EventServerNotTaken:        "not-taken",
		fastopen.EventServerBackupKey:       "",
		fastopen.EventServerReset:           "",
	} {
		r := newReasons()
		r.note(fastopen.Event{Kind: kind, Remote: client})
		if got := r.take(other); got != "" {
			t.Errorf("%v: another client's reason is %q", kind, got)
		}
		if got := r.take(client); got != want {
			t.Errorf("%v: %q, want %q", kind, got, want)
		}
		if got := r.take(client); got != "" {
			t.Errorf("%v: told twice", kind)
		}
	}
	// The same address and port again, opened by its SYN.
	r := newReasons()
	r.note(fastopen.Event{Kind: fastopen.EventServerBadCookie, Remote: client})
	r.note(fastopen.Event{Kind: fastopen.EventServerAccepted, Remote: client})
	if got := r.take(client); got != "" {
		t.Errorf("accepted, and yet %q", got)
	}
	for port := range maxReasons + 10 {
		r.note(fastopen.Event{Kind: fastopen.EventServerBadCookie, Remote: netip.AddrPortFrom(client.Addr(), uint16(port))})
	}
	if n := r.last.Len(); n != maxReasons {
		t.Errorf("%d are remembered, want %d", n, maxReasons)
	}
}
