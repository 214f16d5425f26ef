package tfo

import (
	"net/netip"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/covers"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

// right is the option with the right cookie as brief writes it.
func (h *host) right(kind Kind) string {
	name := map[Kind]string{KindFO: "fo=", KindExp: "exp="}[kind]
	return name + h.keys.Primary.Cookie(h.client.Addr(), h.local.Addr()).String()
}

func TestRequestIsGranted(t *testing.T) {
	covers.IDs(t, "S-02", "S-03", "S-04", "S-05", "S-47")
	for _, kind := range []Kind{KindFO, KindExp} {
		for _, v6 := range []bool{false, true} {
			for _, payload := range []string{"", "hello"} {
				h := newHost(t, Policy{})
				if v6 {
					h.useV6()
				}
				h.decide(h.syn(fo(kind, ""), payload), AnswerGrant)
				h.events(EventCookieRequested)
				h.pending(0)
				h.stack(h.synack(), "SA 0 ack 1 "+h.right(kind), "")
				h.stack(h.synack(), "=", "") // a repeat is plain
				if h.child.State() != ChildOver || h.server.grants != 0 {
					t.Error("a grant leaves something behind")
				}
			}
		}
	}
}

func TestWrongCookies(t *testing.T) {
	covers.IDs(t, "S-09", "S-10", "S-11")
	h := newHost(t, Policy{})
	right := h.keys.Primary.Cookie(h.client.Addr(), h.local.Addr())
	stolen := h.keys.Primary.Cookie(netip.MustParseAddr("198.51.100.9"), h.local.Addr())
	for name, cookie := range map[string]string{
		"8 bytes": eight, "4 bytes": eight[:4], "6 bytes": eight[:6], "16 bytes": eight + eight,
		"the front of the right one":     string(right.Bytes()[:4]),
		"more than the right one":        string(right.Bytes()) + eight,
		"valid for another client":       string(stolen.Bytes()),
		"all of it zeros":                string(make([]byte, 8)),
		"right but for the last of bits": string(append(right.Bytes()[:7], right.Bytes()[7]^1)),
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, Policy{})
			h.decide(h.syn(fo(KindFO, cookie), "hello"), AnswerGrant)
			h.events(EventBadCookie)
			h.stack(h.synack(), "SA 0 ack 1 "+h.right(KindFO), "")
			h.pending(0)
		})
	}
}

// Every length of a cookie that fits into a SYN, of both kinds, but the right one: the
// front of the right cookie, and more than it.
func TestEveryCookieLength(t *testing.T) {
	covers.IDs(t, "S-11", "S-12")
	for _, kind := range []Kind{KindFO, KindExp} {
		for n := 1; n <= 34; n++ {
			h := newHost(t, Policy{})
			h.clientOptions = []byte{seg.OptMSS, 4, 5, 180}
			body := append(h.keys.Primary.Cookie(h.client.Addr(), h.local.Addr()).Bytes(), make([]byte, 34)...)[:n]
			option := []byte{byte(kind), byte(2 + n)}
			if kind == KindExp {
				option = []byte{byte(kind), byte(4 + n), expID >> 8, expID & 0xff}
			}
			option = append(option, body...)
			if n == 8 || len(option) > 36 {
				continue
			}
			want, events := AnswerPlain, []Event(nil)
			if n%2 == 0 && n >= MinCookie && n <= MaxCookie {
				want, events = AnswerGrant, []Event{EventBadCookie}
			}
			h.decide(h.syn(append(option, make([]byte, -len(option)&3)...), "hello"), want)
			h.events(events...)
		}
	}
}

func TestNoFastOpen(t *testing.T) {
	h := newHost(t, Policy{})
	long := append([]byte{byte(KindFO), 20}, make([]byte, 18)...)
	for _, c := range []struct {
		name string
		syn  seg.Segment
	}{
		{"neither option nor data", h.syn(nil, "")},
		{"data without option", h.syn(nil, "hello")},
		{"odd length", h.syn([]byte{byte(KindFO), 11, 1, 2, 3, 4, 5, 6, 7, 8, 9}, "hello")},
		{"no cookie has this length", h.syn([]byte{byte(KindFO), 4, 1, 2}, "hello")},
		{"too long a cookie", h.syn(long, "hello")},
		{"a SYN-ACK", h.synWith(seg.SYN|seg.ACK, h.cookie(), "hello")},
		{"a reset", h.synWith(seg.SYN|seg.RST, h.cookie(), "hello")},
		{"no SYN", h.synWith(seg.ACK, h.cookie(), "hello")},
	} {
		t.Run(c.name, func(t *testing.T) {
			covers.IDs(t, "S-12", "S-16")
			h.t = t
			h.decide(c.syn, AnswerPlain)
			h.events()
		})
	}
}

func TestTheLastOptionCounts(t *testing.T) {
	covers.IDs(t, "S-13")
	h := newHost(t, Policy{})
	h.clientOptions = []byte{seg.OptMSS, 4, 5, 180}
	h.decide(h.syn(append(fo(KindFO, eight), h.cookie()...), "hello"), AnswerAccept)
	h = newHost(t, Policy{})
	h.clientOptions = []byte{seg.OptMSS, 4, 5, 180}
	h.decide(h.syn(append(h.cookie(), fo(KindExp, eight)...), "hello"), AnswerGrant)
	h.stack(h.ours(seg.SYN|seg.ACK, 0, 1, ""), "SA 0 ack 1 "+h.right(KindExp), "")
}

func TestKeysChange(t *testing.T) {
	t.Run("with the old one as backup", func(t *testing.T) {
		covers.IDs(t, "S-14")
		h := newHost(t, Policy{})
		old := h.cookie()
		h.keys = Keys{Primary: Key{1}, Backup: h.keys.Primary, HasBackup: true}
		h.decide(h.syn(old, "hello"), AnswerAccept)
		h.stack(h.synack(), "", "A 1:5 ack 1")
		h.stack(h.ours(seg.ACK, 1, 6, ""), "SA 0 ack 6 "+h.right(KindFO), "")
		h.events(EventBackupKey, EventAccepted)
		h.pass(time.Second, "SA 0 ack 6", "")
	})
	t.Run("without", func(t *testing.T) {
		covers.IDs(t, "S-15")
		h := newHost(t, Policy{})
		old := h.cookie()
		h.keys = Keys{Primary: Key{1}}
		h.decide(h.syn(old, "hello"), AnswerGrant)
		h.stack(h.synack(), "SA 0 ack 1 "+h.right(KindFO), "")
	})
}

func TestCookieless(t *testing.T) {
	covers.IDs(t, "S-17")
	h := newHost(t, Policy{Cookieless: true})
	h.decide(h.syn(nil, "hello"), AnswerAccept)
	h.stack(h.synack(), "", "A 1:5 ack 1")
	h.stack(h.ours(seg.ACK, 1, 6, ""), "SA 0 ack 6", "")
	h.wire(h.theirs(seg.ACK|seg.PSH, 6, 1, " world"), "", "=")
	// Nothing to take, nothing to do.
	h.decide(h.syn(nil, ""), AnswerPlain)
	// As in Linux a cookie is not looked at, right or wrong.
	h.decide(h.syn(fo(KindFO, eight), "hello"), AnswerPlain) // the same SYN once more
	h.events(EventReplay)
}

func TestLimit(t *testing.T) {
	covers.IDs(t, "S-19", "S-20")
	h := newHost(t, Policy{MaxPending: 3})
	var children []*Child
	for port := range uint16(3) {
		h.client = netip.AddrPortFrom(client4.Addr(), 50000+port)
		h.open("hello")
		children = append(children, h.child)
	}
	h.pending(3)
	h.client = netip.AddrPortFrom(client4.Addr(), 60000)
	h.decide(h.syn(h.cookie(), "hello"), AnswerPlain)
	h.events(EventOverflow)
	// A request gets no answer either: it looks as if there were no Fast Open.
	h.decide(h.syn(fo(KindFO, ""), ""), AnswerPlain)
	h.events(EventOverflow, EventCookieRequested)

	children[1].FromWire(h.now, seg.Make(seg.Fields{Src: netip.AddrPortFrom(client4.Addr(), 50001), Dst: server4,
		Seq: irs + 6, Ack: iss + 1, Flags: seg.ACK, Window: 500}))
	if children[1].State() != ChildOver {
		t.Fatal("the handshake is not over")
	}
	h.server.End(h.now, AnswerAccept, client4.Addr(), false)
	h.open("hello")
}

func TestLimitForEachSource(t *testing.T) {
	h := newHost(t, Policy{MaxPending: 10, MaxPerSource: 1})
	h.open("hello")
	h.client = netip.AddrPortFrom(client4.Addr(), 60000)
	h.decide(h.syn(h.cookie(), "hello"), AnswerPlain)
	h.events(EventOverflow)
	h.client = netip.MustParseAddrPort("198.51.100.2:50000")
	h.open("hello")
	h.wire(h.theirs(seg.ACK, 6, 1, ""), "", "=")
	h.client = netip.MustParseAddrPort("198.51.100.2:50001")
	h.open("hello")
}

func TestGrantsAreBounded(t *testing.T) {
	h := newHost(t, Policy{})
	for range maxGrants {
		if d := h.server.Decide(h.now, h.syn(fo(KindFO, ""), ""), h.keys, h.replays); d.Answer != AnswerGrant {
			t.Fatal("no grant")
		}
	}
	for _, extra := range [][]byte{fo(KindFO, ""), fo(KindFO, eight)} {
		d := h.server.Decide(h.now, h.syn(extra, ""), h.keys, h.replays)
		if d.Answer != AnswerPlain || !d.Events.Has(EventOverflow) {
			t.Error("grants without bound")
		}
	}
	h.open("hello") // those who have a cookie are served
}

func TestSwitchedOff(t *testing.T) {
	covers.IDs(t, "S-01", "S-21", "S-49")
	h := newHost(t, Policy{})
	h.open("hello")
	h.server.SetEnabled(false)
	// What is pending ends as if nothing had happened.
	h.pass(time.Second, "SA 0 ack 6", "")
	h.wire(h.theirs(seg.ACK, 6, 1, ""), "", "=")
	h.pending(0)
	h.client = netip.AddrPortFrom(client4.Addr(), 60000)
	h.decide(h.syn(h.cookie(), "hello"), AnswerPlain)
	h.decide(h.syn(fo(KindFO, ""), ""), AnswerPlain)
	h.server.SetEnabled(true)
	h.open("hello")
}

func TestResetsKeepTheirPlace(t *testing.T) {
	covers.IDs(t, "S-22", "H-25")
	h := newHost(t, Policy{MaxPending: 2})
	for port := range uint16(2) {
		h.client = netip.AddrPortFrom(client4.Addr(), 50000+port)
		h.open("hello")
		h.wire(h.theirs(seg.RST, 6, 0, ""), "", "=")
		h.events(EventAccepted, EventReset)
		h.now += 10 * time.Second
	}
	h.pending(0)
	h.client = netip.AddrPortFrom(client4.Addr(), 60000)
	h.now += 39 * time.Second // 59 s after the first reset
	h.decide(h.syn(h.cookie(), "hello"), AnswerPlain)
	h.events(EventOverflow)
	h.now += time.Second
	h.open("hello")
	h.client = netip.AddrPortFrom(client4.Addr(), 60001)
	h.decide(h.syn(h.cookie(), "hello"), AnswerPlain)
	h.now += 10 * time.Second
	h.open("hello")
	if n := len(h.server.sources); n != 1 {
		t.Errorf("%d sources are counted", n)
	}
}

func TestSYNAndFIN(t *testing.T) {
	covers.IDs(t, "S-25")
	h := newHost(t, Policy{})
	for _, extra := range [][]byte{nil, h.cookie(), fo(KindFO, "")} {
		h.decide(h.synWith(seg.SYN|seg.FIN, extra, "hello"), AnswerDrop)
	}
}

func TestReplayAfterTheEnd(t *testing.T) {
	covers.IDs(t, "S-31", "H-27", "P2")
	h := newHost(t, Policy{})
	h.open("hello")
	h.wire(h.theirs(seg.ACK, 6, 1, ""), "", "=")
	h.now += 119 * time.Second
	h.decide(h.syn(h.cookie(), "hello"), AnswerPlain)
	h.events(EventReplay)
	// Another opening between the same ports is none.
	other := h.syn(h.cookie(), "hello")
	other.SetSeq(irs.Add(1))
	h.decide(other, AnswerAccept)
	h.child.Release()
	h.finish()
	h.now += time.Second
	h.decide(h.syn(h.cookie(), "hello"), AnswerAccept)
	if h.replays.Len() != 0 {
		t.Errorf("%d openings are remembered too long", h.replays.Len())
	}
}

// A duplicate without data has nothing to bring, but it would open a connection
// that nobody wants, to be accepted and to wait for its end.
func TestReplayWithoutData(t *testing.T) {
	covers.IDs(t, "S-31", "H-27")
	h := newHost(t, Policy{})
	h.open("")
	h.wire(h.theirs(seg.ACK, 1, 1, ""), "", "=")
	h.now += 119 * time.Second
	h.decide(h.syn(h.cookie(), ""), AnswerPlain)
	h.events(EventReplay)
	h.now += time.Second
	h.decide(h.syn(h.cookie(), ""), AnswerAccept)
}

func TestReplaysAreBounded(t *testing.T) {
	r := NewReplays(4)
	for i := range 10 {
		r.Add(Opening{Local: server4, Remote: client4, IRS: irs.Add(seqnum.Size(i))}, time.Minute)
	}
	if r.Len() != 4 {
		t.Errorf("%d are remembered", r.Len())
	}
	if !r.Seen(0, Opening{Local: server4, Remote: client4, IRS: irs.Add(9)}) || r.Seen(0, Opening{Local: server4, Remote: client4, IRS: irs.Add(5)}) {
		t.Error("not the oldest goes")
	}
	if r.Seen(time.Minute, Opening{Local: server4, Remote: client4, IRS: irs.Add(9)}) {
		t.Error("remembered too long")
	}
}

// Listeners have windows of their own: an opening is forgotten at its time, also behind
// one that is remembered for longer.
func TestReplaysExpireEachAtItsTime(t *testing.T) {
	covers.IDs(t, "S-31")
	r := NewReplays(0)
	long, short := Opening{IRS: 1}, Opening{IRS: 2}
	r.Add(long, 4*time.Minute)
	r.Add(short, 10*time.Second)
	if !r.Seen(9*time.Second, short) || !r.Seen(9*time.Second, long) {
		t.Error("forgotten too early")
	}
	if r.Seen(10*time.Second, short) || !r.Seen(10*time.Second, long) {
		t.Error("not each at its time")
	}
	if r.Seen(4*time.Minute, long) || r.Len() != 0 {
		t.Errorf("%d are still remembered", r.Len())
	}
}
