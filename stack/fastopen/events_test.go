package fastopen_test

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/seg"
)

// told is what a Link tells of, as lines.
type told struct {
	mu    sync.Mutex
	lines []string
}

func (r *told) note(e fastopen.Event) {
	line := e.Kind.String()
	if e.Bytes > 0 {
		line += fmt.Sprintf(" %d", e.Bytes)
	}
	if e.Reason != 0 {
		line += " " + e.Reason.String()
	}
	if e.For > 0 {
		line += " " + e.For.String()
	}
	if !e.Local.IsValid() || !e.Remote.IsValid() {
		line += " of nobody"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
}

// want compares and forgets.
func (r *told) want(t *testing.T, h *host, lines ...string) {
	t.Helper()
	h.settle()
	r.mu.Lock()
	defer r.mu.Unlock()
	if got, want := strings.Join(r.lines, "; "), strings.Join(lines, "; "); got != want {
		t.Errorf("told of %q, want %q", got, want)
	}
	r.lines = nil
}

func TestClientEvents(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		r := new(told)
		h := newHost(t, v6, 1500, fastopen.Config{OnEvent: r.note})
		h.teach()
		r.want(t, h, "cookie-requested", "cookie-stored")
		for _, tt := range []struct {
			accepted int
			want     string
		}{{5, "data-accepted 5"}, {3, "data-partly-accepted 3 data-partly-acknowledged"}, {0, "data-refused 5 data-not-acknowledged"}} {
			c := h.dial("hello", fastopen.ModeDefault)
			h.arrive(h.reply(h.next(), seg.SYN|seg.ACK, 0, 1+tt.accepted, nil, ""))
			c.established()
			r.want(t, h, tt.want)
			c.close()
			h.settle()
			h.left()
		}
		c := h.dial("hello", fastopen.ModeDefault)
		syn := h.next()
		h.clock.Advance(time.Second)
		h.next()
		r.want(t, h, "syn-retransmitted")
		h.arrive(h.reply(syn, seg.SYN|seg.ACK, 0, 1, nil, ""))
		c.established()
		r.want(t, h, "data-refused 5 syn-lost", "path-paused syn-lost 4m0s")
		if n := h.link.Stats().TCPFastOpenBlackhole; n != 1 {
			t.Errorf("TCPFastOpenBlackhole is %d", n)
		}
		// A connection that is held back has nothing to tell.
		h.dial("hello", fastopen.ModeDefault)
		h.next()
		r.want(t, h)
	}
}

func TestNoAnswerEvents(t *testing.T) {
	r := new(told)
	h := newHost(t, false, 1500, fastopen.Config{OnEvent: r.note})
	h.teach()
	r.want(t, h, "cookie-requested", "cookie-stored")
	c := h.dial("hello", fastopen.ModeDefault)
	h.next()
	h.clock.Advance(time.Second)
	h.next()
	c.close()
	r.want(t, h, "syn-retransmitted", "data-refused 5 no-answer", "path-paused no-answer 8m0s")
	if n := h.link.Stats().TCPFastOpenBlackhole; n != 1 {
		t.Errorf("TCPFastOpenBlackhole is %d", n)
	}
}

func TestServerEvents(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		r := new(told)
		h := newHost(t, v6, 1500, fastopen.Config{OnEvent: r.note})
		h.clock.Advance(time.Minute)
		s := serve(h, 16, &fastopen.ListenConfig{MaxPending: 1})
		c := s.opened("hello")
		iss := s.iss
		r.want(t, h, "server-accepted 5")
		// A second client, while the first is pending.
		first := s.client
		s.client = nextPort(first)
		s.hello(s.cookie(), "hello")
		s.answer(1, false)
		r.want(t, h, "server-overflow")
		s.client = first
		s.iss = iss
		s.send(seg.RST, 6, 0, "")
		c.read(5)
		c.fails()
		r.want(t, h, "server-reset")
		s.hello(s.cookie(), "hello")
		s.answer(1, false)
		r.want(t, h, "server-replay-dropped")
		s.drain()

		h.clock.Advance(10 * time.Minute)
		s.drain() // SYN-ACKs of netstack's own, repeated meanwhile
		s.client = nextPort(s.client)
		s.client = nextPort(s.client)
		s.hello(request(), "")
		s.answer(1, true)
		s.client = nextPort(s.client)
		s.hello(append([]byte{34, 10}, eight...), "hello")
		s.answer(1, true)
		s.settle()
		r.mu.Lock()
		got := strings.Join(r.lines, "; ")
		r.lines = nil
		r.mu.Unlock()
		if !strings.Contains(got, "server-cookie-requested") || !strings.Contains(got, "server-bad-cookie") {
			t.Errorf("told of %q", got)
		}
		s.drain()
	}
}

// nextPort is another connection of the same client.
func nextPort(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr(), a.Port()+1)
}

func TestEventNames(t *testing.T) {
	seen := make(map[string]bool)
	for k := fastopen.EventCookieRequested; k <= fastopen.EventServerTimeout; k++ {
		if name := k.String(); name == "" || name == "unknown" || seen[name] {
			t.Errorf("event %d is called %q", k, name)
		}
		seen[k.String()] = true
	}
	if fastopen.EventKind(99).String() != "unknown" {
		t.Error("an unknown event has a name")
	}
}
