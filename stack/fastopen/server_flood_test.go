package fastopen_test

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/covers"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

func TestManyPending(t *testing.T) {
	covers.IDs(t, "S-19", "S-20", "P7")
	const many = 1000
	h := newHost(t, false, 1500, fastopen.Config{})
	h.clock.Advance(time.Minute)
	s := serve(h, many+1, &fastopen.ListenConfig{MaxPending: many})
	iss := make([]seqnum.Value, many)
	client := func(i int) { s.client = netip.AddrPortFrom(theirs4, uint16(10000+i)) }
	for i := range many {
		client(i)
		s.hello(s.cookie(), "hello")
		s.answer(6, false)
		iss[i] = s.iss
	}
	s.pending(many)
	client(many)
	s.hello(s.cookie(), "hello")
	s.answer(1, false)
	for i := range many {
		client(i)
		s.iss = iss[i]
		s.send(seg.ACK|seg.PSH, 6, 1, " world")
	}
	s.pending(0)
	for range many {
		if got := s.accept().read(11); got != "hello world" {
			t.Fatalf("read %q", got)
		}
		s.drain()
	}
	if n := s.link.Stats(); n.TCPFastOpenPassive != many || n.TCPFastOpenListenOverflow != 1 || n.Openings != 0 {
		t.Errorf("%+v", n)
	}
}

func TestResetFlood(t *testing.T) {
	covers.IDs(t, "S-22", "P7")
	h := newHost(t, false, 1500, fastopen.Config{})
	h.clock.Advance(time.Minute)
	s := serve(h, 64, &fastopen.ListenConfig{MaxPending: 16, MaxPerSource: 8})
	for i := range 500 {
		s.client = netip.AddrPortFrom(theirs4, uint16(10000+i))
		s.hello(s.cookie(), "flood")
		a := s.next()
		s.iss = a.Seq()
		data := int(int32(a.Ack() - irs - 1))
		s.send(seg.RST, 1+data, 0, "")
		s.settle()
		if data > 0 {
			s.accept().fails()
		}
		s.drain()
	}
	n := s.tfo.Stats()
	if n.TCPFastOpenPassive != 8 || n.Held != 8 || n.Pending != 0 || n.TCPFastOpenListenOverflow != 492 {
		t.Errorf("%+v", n)
	}
	// Others are served meanwhile, and the flooder is in the ordinary way.
	s.client = netip.MustParseAddrPort("198.51.100.77:50000")
	s.hello(s.cookie(), "hello")
	if got := s.accept().read(5); got != "hello" {
		t.Errorf("read %q", got)
	}
	s.answer(6, false)
	s.send(seg.ACK, 6, 1, "")
	s.client = netip.AddrPortFrom(theirs4, 50001)
	s.hello(s.cookie(), "hello")
	s.answer(1, false)
	s.send(seg.ACK|seg.PSH, 1, 1, "hello")
	if got := s.accept().read(5); got != "hello" {
		t.Errorf("read %q", got)
	}
}

func TestForgedFlood(t *testing.T) {
	covers.IDs(t, "S-09", "S-23", "P7")
	h := newHost(t, false, 1500, fastopen.Config{})
	h.clock.Advance(time.Minute)
	s := serve(h, 64, usual)
	for i := range 5000 {
		s.client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 50000)
		s.hello(append([]byte{34, 10}, eight...), "flood")
		if i%64 == 0 {
			s.drain()
		}
	}
	s.drain()
	h.clock.Advance(999 * time.Millisecond)
	s.drain()
	if n := s.link.Stats(); n.TCPFastOpenPassive != 0 || n.TCPFastOpenPassiveFail != 5000 || n.Openings != 0 {
		t.Errorf("%+v", n)
	}
	// Netstack answers with SYN cookies now; a client still gets through.
	s.client = netip.AddrPortFrom(theirs4, 50000)
	s.hello(s.cookie(), "hello")
	s.answer(1, false)
	s.send(seg.ACK|seg.PSH, 1, 1, "hello")
	if got := s.accept().read(5); got != "hello" {
		t.Errorf("read %q", got)
	}
}

func TestSYNDoesNotDisturbAnotherConnection(t *testing.T) {
	covers.IDs(t, "S-46", "H-27")
	bothServers(t, 16, usual, func(t *testing.T, s *server) {
		c := s.opened("hello")
		s.send(seg.ACK, 6, 1, "")
		// Anybody can ask for a cookie in another's name.
		for _, option := range [][]byte{request(), s.cookie()} {
			s.arrive(seg.Make(seg.Fields{Src: s.client, Dst: s.local, Seq: irs.Add(1 << 20), Flags: seg.SYN, Window: 1000,
				Options: append(clientOptions(), option...), Payload: []byte("other")}))
			s.settle()
			s.send(seg.ACK|seg.PSH, 6, 1, " world")
			s.drain()
		}
		if got := c.read(11); got != "hello world" {
			t.Errorf("read %q", got)
		}
		s.clock.Advance(time.Second)
		if n := s.link.Stats().Openings; n != 0 {
			t.Errorf("%d openings are left", n)
		}
		s.drain()
	})
}

func TestWhatIsRememberedOfAConnection(t *testing.T) {
	bothServers(t, 16, usual, func(t *testing.T, s *server) {
		c := s.opened("hello")
		s.send(seg.ACK, 6, 1, "")
		if a, ok := s.link.Accepted(s.local, s.client); !ok || a.Pending || a.BytesTaken != 5 {
			t.Errorf("%+v %t", a, ok)
		}
		c.ep.Abort()
		s.drain()
		s.arrive(seg.Make(seg.Fields{Src: s.client, Dst: s.local, Seq: irs.Add(99), Flags: seg.SYN, Window: 1000}))
		s.next()
		if a, ok := s.link.Accepted(s.local, s.client); ok {
			t.Errorf("an ordinary connection was opened by Fast Open: %+v", a)
		}
	})
}

// The same SYN comes through several queues of the device at once: it takes one place,
// and gives it back.
func TestSameSYNThroughSeveralQueues(t *testing.T) {
	covers.IDs(t, "S-30", "H-23")
	const rounds, queues = 300, 4
	bothServers(t, 16, usual, func(t *testing.T, s *server) {
		for i := range rounds {
			s.client = netip.AddrPortFrom(s.client.Addr(), uint16(20000+i))
			syn := seg.Make(seg.Fields{Src: s.client, Dst: s.local, Seq: irs, Flags: seg.SYN, Window: s.window,
				Options: append(append([]byte(nil), s.syn...), s.cookie()...), Payload: []byte("hello")})
			start := make(chan struct{})
			var wait sync.WaitGroup
			for range queues {
				wait.Go(func() { <-start; s.arrive(syn) })
			}
			close(start)
			wait.Wait()
			c := s.accept()
			s.answer(6, false)
			s.send(seg.ACK, 6, 1, "")
			if got := c.read(5); got != "hello" {
				t.Fatalf("read %q", got)
			}
			s.none()
			s.drain()
		}
		s.pending(0)
		if n := s.tfo.Stats().TCPFastOpenPassive; n != rounds {
			t.Errorf("%d were accepted, want %d", n, rounds)
		}
	})
}
