package fastopen_test

import (
	"bytes"
	"errors"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/covers"
	"gvisor.dev/gvisor/pkg/tcpip"
)

var usual = &fastopen.ListenConfig{}

func TestAcceptBeforeTheACK(t *testing.T) {
	covers.IDs(t, "S-06", "S-07", "S-33", "H-17", "H-20", "B-10")
	bothServers(t, 16, usual, func(t *testing.T, s *server) {
		s.hello(s.cookie(), "0123456789")
		c := s.accept()
		if got := c.read(10); got != "0123456789" {
			t.Errorf("read %q", got)
		}
		s.answer(11, false)
		if a, ok := s.link.Accepted(s.local, s.client); !ok || a != (fastopen.Accepted{BytesInSYN: 10, BytesTaken: 10, Pending: true}) {
			t.Errorf("pending: %+v %t", a, ok)
		}
		c.write("answer")
		s.out(seg.ACK, 1, 11, "answer")
		if i := info(t, c); i.RTO < 900*time.Millisecond || i.SndCwnd != 10 {
			t.Errorf("netstack's timer is at %v, its window at %d", i.RTO, i.SndCwnd)
		}
		s.pending(1)
		s.send(seg.ACK|seg.PSH, 11, 7, "more")
		if got := c.read(4); got != "more" {
			t.Errorf("read %q", got)
		}
		s.pending(0)
		if a, ok := s.link.Accepted(s.local, s.client); !ok || a != (fastopen.Accepted{BytesInSYN: 10, BytesTaken: 10}) {
			t.Errorf("open: %+v %t", a, ok)
		}
		if n := s.link.Stats(); n.TCPFastOpenPassive != 1 || n.Openings != 0 || n.ServerStats != s.tfo.Stats().ServerStats {
			t.Errorf("%+v", n)
		}
		s.drain()
	})
}

func TestNoListener(t *testing.T) {
	covers.IDs(t, "S-01")
	bothServers(t, 16, nil, func(t *testing.T, s *server) {
		s.hello(append([]byte{34, 10}, eight...), "hello")
		s.answer(1, false)
		s.send(seg.ACK|seg.PSH, 1, 1, "hello")
		if got := s.accept().read(5); got != "hello" {
			t.Errorf("read %q", got)
		}
		s.drain()
	})
}

func TestOffIsPlain(t *testing.T) {
	covers.IDs(t, "S-01", "S-21", "S-49")
	bothServers(t, 16, usual, func(t *testing.T, s *server) {
		c := s.opened("early")
		s.tfo.SetEnabled(false)
		if s.tfo.Enabled() {
			t.Error("still on")
		}
		s.clock.Advance(time.Second)
		s.answer(6, false)
		s.send(seg.ACK, 6, 1, "")
		if got := c.read(5); got != "early" {
			t.Errorf("read %q", got)
		}
		s.client = netip.AddrPortFrom(s.client.Addr(), 50001)
		s.hello(s.cookie(), "hello")
		s.answer(1, false)
		s.client = netip.AddrPortFrom(s.client.Addr(), 50002)
		s.hello(request(), "")
		s.answer(1, false)
	})
}

func TestGrantOnTheWire(t *testing.T) {
	covers.IDs(t, "S-02", "S-04", "S-05", "S-09", "B-01", "B-02", "B-03")
	for _, option := range [][]byte{request(), {254, 4, 0xf9, 0x89}, append([]byte{34, 10}, eight...)} {
		bothServers(t, 16, usual, func(t *testing.T, s *server) {
			s.hello(option, "hello")
			a := s.answer(1, true)
			o, _ := tfo.ParseOption(a)
			if byte(o.Kind) != option[0] || !bytes.Equal(o.Cookie.Bytes(), s.cookie()[2:]) {
				t.Errorf("kind %d, cookie %v", o.Kind, o.Cookie)
			}
			s.none()
			s.send(seg.ACK|seg.PSH, 1, 1, "hello")
			if got := s.accept().read(5); got != "hello" {
				t.Errorf("read %q", got)
			}
			s.drain()
			if s.link.Stats().Openings != 0 {
				t.Error("something is left behind")
			}
		})
	}
}

func TestCookieWithoutData(t *testing.T) {
	covers.IDs(t, "S-08")
	bothServers(t, 16, usual, func(t *testing.T, s *server) {
		s.hello(s.cookie(), "")
		c := s.accept()
		s.answer(1, false)
		if _, err := c.ep.Read(new(bytes.Buffer), tcpip.ReadOptions{}); err == nil {
			t.Error("there is something to read")
		}
		c.write("greeting")
		s.out(seg.ACK, 1, 1, "greeting")
		s.send(seg.ACK|seg.PSH, 1, 9, "thanks")
		if got := c.read(6); got != "thanks" {
			t.Errorf("read %q", got)
		}
		s.drain()
	})
}

func TestNoCookieWanted(t *testing.T) {
	covers.IDs(t, "S-17")
	bothServers(t, 16, &fastopen.ListenConfig{Cookieless: true}, func(t *testing.T, s *server) {
		s.hello(nil, "hello")
		c := s.accept()
		s.answer(6, false)
		s.send(seg.ACK|seg.PSH, 6, 1, " world")
		if got := c.read(11); got != "hello world" {
			t.Errorf("read %q", got)
		}
		s.drain()
	})
}

func TestDataWithoutOption(t *testing.T) {
	covers.IDs(t, "S-16")
	bothServers(t, 16, usual, func(t *testing.T, s *server) {
		s.hello(nil, "hello")
		s.answer(1, false)
		s.none()
	})
}

func TestECN(t *testing.T) {
	covers.IDs(t, "S-18")
	bothServers(t, 16, usual, func(t *testing.T, s *server) {
		s.helloWith(seg.SYN|seg.ECE|seg.CWR, s.cookie(), "hello")
		if got := s.accept().read(5); got != "hello" {
			t.Errorf("read %q", got)
		}
		s.answer(6, false) // netstack has no ECN: no ECE, as for any SYN
	})
}

func TestQueueIsFull(t *testing.T) {
	covers.IDs(t, "S-24", "H-18")
	bothServers(t, 2, usual, func(t *testing.T, s *server) {
		for port := range uint16(2) {
			s.client = netip.AddrPortFrom(s.client.Addr(), 50000+port)
			s.hello(s.cookie(), "hello")
			s.answer(6, false)
			s.send(seg.ACK, 6, 1, "")
		}
		s.client = netip.AddrPortFrom(s.client.Addr(), 50002)
		s.settle()
		s.hello(s.cookie(), "hello")
		s.quiet()
		s.clock.Advance(time.Second)
		s.quiet()
		s.pending(0)
	})
}

// overtaken is a server whose netstack drops the ACK made for the SYN at hand: a
// connection whose client is quicker takes the last place in the accept queue.
// One processor, and netstack paused meanwhile, make the order certain.
func overtaken(t *testing.T, v6 bool) (s *server, accept func()) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	h := newHost(t, v6, 1500, fastopen.Config{})
	h.clock.Advance(time.Minute)
	s = serve(h, 3, usual)
	client := func(port uint16) { s.client = netip.AddrPortFrom(s.client.Addr(), port) }
	for port := range uint16(2) {
		client(50000 + port)
		s.hello(nil, "")
		s.answer(1, false)
		s.send(seg.ACK, 1, 1, "")
		s.settle()
	}
	client(50002)
	s.hello(nil, "")
	s.answer(1, false)
	quick := s.client

	s.stack.Pause()
	client(50003)
	s.hello(s.cookie(), "hello")
	s.client = quick
	s.send(seg.ACK, 1, 1, "")
	client(50003)
	dropped := h.stack.Stats().DroppedPackets.Value()
	s.stack.Resume()
	for giveUp := time.After(patient); h.stack.Stats().DroppedPackets.Value() == dropped; s.settle() {
		select {
		case <-giveUp:
			t.Fatal("netstack does not drop the ACK")
		default: // the Link's goroutine is about to deliver it
		}
	}
	return s, func() {
		for range 3 {
			s.accept()
		}
	}
}

func TestNetstackDoesNotTakeIt(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		t.Run("and the client repeats", func(t *testing.T) {
			covers.IDs(t, "H-18", "S-24", "P5")
			s, accept := overtaken(t, v6)
			s.quiet()
			s.clock.Advance(200 * time.Millisecond)
			s.answer(1, true) // with the cookie, so that the client tries again
			accept()
			s.send(seg.ACK|seg.PSH, 1, 1, "hello")
			if got := s.accept().read(5); got != "hello" {
				t.Errorf("read %q", got)
			}
			s.none()
			s.pending(0)
			if n := s.tfo.Stats().TCPFastOpenPassiveFail; n != 1 {
				t.Errorf("TCPFastOpenPassiveFail is %d", n)
			}
			s.drain()
		})
		t.Run("and repeats its own answer", func(t *testing.T) {
			covers.IDs(t, "H-18")
			s, accept := overtaken(t, v6)
			s.quiet()
			s.clock.Advance(200 * time.Millisecond)
			s.answer(1, true)
			accept()
			s.clock.Advance(800 * time.Millisecond)
			s.answer(1, false)
			s.pending(0)
			s.send(seg.ACK|seg.PSH, 1, 1, "hello")
			if got := s.accept().read(5); got != "hello" {
				t.Errorf("read %q", got)
			}
			s.drain()
		})
	}
}

func TestNetstackSendsCookies(t *testing.T) {
	covers.IDs(t, "S-23", "H-18")
	bothServers(t, 1, usual, func(t *testing.T, s *server) {
		for _, option := range [][]byte{s.cookie(), request()} {
			s.hello(option, "hello")
			s.answer(1, false)
			s.none()
			if s.link.Stats().Openings != 0 {
				t.Error("something is left behind")
			}
		}
		s.syn = clientOptions()
		s.send(seg.ACK|seg.PSH, 1, 1, "hello")
		if got := s.accept().read(5); got != "hello" {
			t.Errorf("read %q", got)
		}
		s.drain()
	})
}

func TestSYNAndFINOnTheWire(t *testing.T) {
	covers.IDs(t, "S-25")
	bothServers(t, 16, usual, func(t *testing.T, s *server) {
		s.helloWith(seg.SYN|seg.FIN, s.cookie(), "hello")
		s.helloWith(seg.SYN|seg.FIN, nil, "")
		s.quiet()
		s.none()
	})
}

func TestNoACKEver(t *testing.T) {
	covers.IDs(t, "S-26", "S-27", "S-28", "H-21", "H-22")
	for _, data := range []string{"", "answer"} {
		bothServers(t, 16, usual, func(t *testing.T, s *server) {
			c := s.opened("hello")
			if data != "" {
				c.write(data)
				s.out(seg.ACK, 1, 6, data)
			}
			for range 6 {
				s.quiet()
				s.clock.Advance(time.Second)
				if s.wire.NumQueued() == 0 {
					for s.wire.NumQueued() == 0 {
						s.clock.Advance(time.Second)
					}
				}
				s.answer(6, false)
			}
			s.pending(1)
			s.clock.Advance(64 * time.Second)
			if got := c.read(5); got != "hello" {
				t.Errorf("read %q", got)
			}
			if _, reset := c.fails().(*tcpip.ErrConnectionReset); !reset {
				t.Error("not reset")
			}
			s.pending(0)
			s.quiet()
			if n := s.tfo.Stats().PendingTimeouts; n != 1 {
				t.Errorf("%d time-outs", n)
			}
		})
	}
}

func TestSYNOnceMore(t *testing.T) {
	covers.IDs(t, "S-29", "S-30", "H-23")
	bothServers(t, 16, usual, func(t *testing.T, s *server) {
		c := s.opened("hello")
		s.hello(nil, "")
		s.answer(6, false)
		for range 3 {
			s.hello(s.cookie(), "hello")
		}
		s.quiet()
		s.clock.Advance(500 * time.Millisecond)
		s.hello(s.cookie(), "hello")
		s.answer(6, false)
		s.send(seg.ACK|seg.PSH, 6, 1, " world")
		if got := c.read(11); got != "hello world" {
			t.Errorf("read %q", got)
		}
		s.none()
		s.drain()
	})
}

func TestReplayedSYN(t *testing.T) {
	covers.IDs(t, "S-31", "H-27", "P2")
	bothServers(t, 16, usual, func(t *testing.T, s *server) {
		c := s.opened("hello")
		s.send(seg.RST, 6, 0, "")
		c.read(5)
		c.fails()
		s.hello(s.cookie(), "hello")
		s.answer(1, false)
		s.none()
		if n := s.link.Stats().ReplaysDropped; n != 1 {
			t.Errorf("%d replays", n)
		}
	})
}

func TestReplayedSYNWithoutData(t *testing.T) {
	covers.IDs(t, "S-31", "H-27")
	bothServers(t, 16, usual, func(t *testing.T, s *server) {
		c := s.opened("")
		s.send(seg.RST, 1, 0, "")
		c.fails()
		s.hello(s.cookie(), "")
		s.answer(1, false)
		s.none()
		if n := s.link.Stats().ReplaysDropped; n != 1 {
			t.Errorf("%d replays", n)
		}
	})
}

// A duplicate is known for as long as the listener says.
func TestReplayWindow(t *testing.T) {
	covers.IDs(t, "S-31")
	const window = 10 * time.Second
	for name, c := range map[string]struct {
		window, after time.Duration
		known         bool
	}{
		"within it":           {window, window - time.Second, true},
		"after it":            {window, window, false},
		"within the default":  {0, tfo.DefaultReplayWindow - time.Second, true},
		"after the default":   {0, tfo.DefaultReplayWindow, false},
		"there is no window":  {-1, 0, false},
		"longer than default": {2 * tfo.DefaultReplayWindow, tfo.DefaultReplayWindow, true},
	} {
		t.Run(name, func(t *testing.T) {
			bothServers(t, 16, &fastopen.ListenConfig{ReplayWindow: c.window}, func(t *testing.T, s *server) {
				first := s.opened("hello")
				s.send(seg.RST, 6, 0, "")
				first.read(5)
				first.fails()
				s.clock.Advance(c.after)
				s.hello(s.cookie(), "hello")
				if c.known {
					s.answer(1, false)
					s.none()
					return
				}
				s.answer(6, false)
				if got := s.accept().read(5); got != "hello" {
					t.Errorf("read %q", got)
				}
				s.drain()
			})
		})
	}
}

func TestFinalACKIsLost(t *testing.T) {
	covers.IDs(t, "S-32")
	bothServers(t, 16, usual, func(t *testing.T, s *server) {
		c := s.opened("hello")
		s.send(seg.ACK|seg.PSH, 12, 1, "world") // and what is before it is late, too
		s.send(seg.ACK|seg.PSH, 6, 1, " wide ")
		if got := c.read(16); got != "hello wide world" {
			t.Errorf("read %q", got)
		}
		s.pending(0)
		s.drain()
	})
}

func TestFirstACKBringsSACKs(t *testing.T) {
	covers.IDs(t, "S-34", "S-43")
	bothServers(t, 16, usual, func(t *testing.T, s *server) {
		c := s.opened("hello")
		c.write(text(30000))
		s.settle()
		early := s.left()
		total := 0
		for _, p := range early {
			total += len(p.Payload())
		}
		if len(early) != 10 || total > 10*1460 {
			t.Errorf("%d segments, %d bytes leave before the ACK, want the initial window", len(early), total)
		}
		// The second was lost, and so was the first ACK.
		for _, p := range early[3:7] {
			s.sendWith(seg.ACK, 6, s.rel(early[1]), sackBlock(early[2].Seq(), p.End()), "")
		}
		s.settle()
		again := false
		for _, p := range s.left() {
			again = again || p.Seq() == early[1].Seq()
		}
		if !again {
			t.Error("the hole is not filled at once")
		}
	})
}

func TestEarlyDataKeepsToTheWindow(t *testing.T) {
	covers.IDs(t, "S-43")
	bothServers(t, 16, usual, func(t *testing.T, s *server) {
		s.window = 3000
		c := s.opened("hello")
		c.write(text(30000))
		s.settle()
		total := 0
		for _, p := range s.left() {
			total += len(p.Payload())
		}
		if total > 3000 || total < 1400 {
			t.Errorf("%d bytes leave, the client's window is 3000", total)
		}
	})
}

func TestClientResetsItsConnection(t *testing.T) {
	covers.IDs(t, "S-35", "S-36", "S-22", "H-25")
	for _, early := range []bool{false, true} {
		bothServers(t, 16, &fastopen.ListenConfig{MaxPending: 1}, func(t *testing.T, s *server) {
			s.hello(s.cookie(), "hello")
			var c *conn
			if early {
				c = s.accept()
			}
			s.answer(6, false)
			s.send(seg.RST, 6, 0, "")
			if !early {
				s.settle()
				c = s.accept()
			}
			if got := c.read(5); got != "hello" {
				t.Errorf("read %q", got)
			}
			if _, reset := c.fails().(*tcpip.ErrConnectionReset); !reset {
				t.Error("not reset")
			}
			c.ep.Close()
			s.quiet()
			if n := s.tfo.Stats(); n.Pending != 0 || n.Held != 1 {
				t.Errorf("%+v", n)
			}
			s.client = netip.AddrPortFrom(s.client.Addr(), 50001)
			s.hello(s.cookie(), "hello")
			s.answer(1, false)
			s.clock.Advance(60 * time.Second)
			s.drain()
			s.client = netip.AddrPortFrom(s.client.Addr(), 50002)
			s.hello(s.cookie(), "hello")
			s.answer(6, false)
		})
	}
}

func TestUnreachableClient(t *testing.T) {
	covers.IDs(t, "S-37")
	bothServers(t, 16, usual, func(t *testing.T, s *server) {
		s.hello(s.cookie(), "hello")
		a := s.answer(6, false)
		forged := a.Clone()
		forged.SetSeq(a.Seq().Add(9))
		s.arriveRaw(unreachable(forged))
		s.settle()
		s.pending(1)
		s.arriveRaw(unreachable(a))
		s.pending(0)
		s.settle()
		c := s.accept()
		if got := c.read(5); got != "hello" {
			t.Errorf("read %q", got)
		}
		c.fails()
		if err := c.ep.LastError(); err == nil {
			t.Error("no error of ICMP's")
		}
		if _, err := c.ep.Write(bytes.NewReader([]byte("x")), tcpip.WriteOptions{}); err == nil {
			t.Error("writing works")
		}
		s.send(seg.ACK, 6, 1, "")
		if p := s.next(); !p.Flags().Has(seg.RST) {
			t.Errorf("%v answers what is too late", p.Flags())
		}
	})
}

func TestListenerCloses(t *testing.T) {
	covers.IDs(t, "S-38", "H-26")
	bothServers(t, 16, usual, func(t *testing.T, s *server) {
		s.hello(s.cookie(), "hello")
		s.answer(6, false)
		s.settle()
		s.ep.Close()
		s.out(seg.RST|seg.ACK, 1, 6, "")
		s.pending(0)
		s.clock.Advance(time.Minute)
		s.quiet()
	})
}

func TestChildCloses(t *testing.T) {
	t.Run("with unread data", func(t *testing.T) {
		covers.IDs(t, "S-39")
		bothServers(t, 16, usual, func(t *testing.T, s *server) {
			c := s.opened("hello")
			c.ep.Close()
			s.out(seg.RST|seg.ACK, 1, 6, "")
			s.pending(0)
			s.clock.Advance(time.Minute)
			s.quiet()
		})
	})
	t.Run("by abort", func(t *testing.T) {
		covers.IDs(t, "S-42")
		bothServers(t, 16, usual, func(t *testing.T, s *server) {
			c := s.opened("hello")
			c.read(5)
			c.ep.Abort()
			s.out(seg.RST|seg.ACK, 1, 6, "")
			s.clock.Advance(time.Minute)
			s.quiet()
		})
	})
	t.Run("its sending half", func(t *testing.T) {
		covers.IDs(t, "S-41", "H-22")
		bothServers(t, 16, usual, func(t *testing.T, s *server) {
			c := s.opened("hello")
			c.read(5)
			must(t, c.ep.Shutdown(tcpip.ShutdownWrite))
			s.quiet()
			s.send(seg.ACK, 6, 1, "")
			s.out(seg.ACK|seg.FIN, 1, 6, "")
			s.send(seg.ACK|seg.FIN, 6, 2, "")
			s.out(seg.ACK, 2, 7, "")
		})
	})
	t.Run("because the client does", func(t *testing.T) {
		covers.IDs(t, "S-40")
		bothServers(t, 16, usual, func(t *testing.T, s *server) {
			s.hello(s.cookie(), "hello")
			s.answer(6, false)
			s.send(seg.ACK|seg.FIN, 6, 1, "")
			s.out(seg.ACK, 1, 7, "")
			c := s.accept()
			if got := c.read(5); got != "hello" {
				t.Errorf("read %q", got)
			}
			if _, closed := c.fails().(*tcpip.ErrClosedForReceive); !closed {
				t.Error("no end of the stream")
			}
		})
	})
}

func TestUncountedData(t *testing.T) {
	covers.IDs(t, "S-44", "S-45", "H-24")
	bothServers(t, 16, usual, func(t *testing.T, s *server) {
		c := s.opened("hello")
		s.send(seg.ACK, 1, 1, "")
		s.out(seg.ACK, 1, 6, "")
		s.send(seg.ACK, 6, 2, "")
		s.out(seg.RST, 2, 0, "")
		s.pending(1)
		s.send(seg.ACK|seg.PSH, 6, 1, " world")
		if got := c.read(11); got != "hello world" {
			t.Errorf("read %q", got)
		}
		s.drain()
	})
}

func TestAnotherISN(t *testing.T) {
	covers.IDs(t, "S-46")
	bothServers(t, 16, usual, func(t *testing.T, s *server) {
		c := s.opened("hello")
		other := seg.Make(seg.Fields{Src: s.client, Dst: s.local, Seq: irs.Add(99), Flags: seg.SYN, Window: 1000,
			Options: append(clientOptions(), s.cookie()...), Payload: []byte("other")})
		s.arrive(other)
		s.out(seg.ACK, 1, 6, "")
		s.send(seg.ACK, 6, 1, "")
		if got := c.read(5); got != "hello" {
			t.Errorf("read %q", got)
		}
		s.none()
	})
}

func TestHeldAnswer(t *testing.T) {
	covers.IDs(t, "S-48")
	bothServers(t, 16, &fastopen.ListenConfig{HoldData: true}, func(t *testing.T, s *server) {
		c := s.opened("hello")
		if got := c.read(5); got != "hello" {
			t.Errorf("read %q", got)
		}
		c.write("answer")
		s.quiet()
		s.send(seg.ACK, 6, 1, "")
		s.out(seg.ACK, 1, 6, "answer")
	})
}

func TestBigSYN(t *testing.T) {
	covers.IDs(t, "S-50")
	bothServers(t, 16, usual, func(t *testing.T, s *server) {
		s.hello(s.cookie(), text(3000))
		c := s.accept()
		a := s.next()
		s.iss = a.Seq()
		taken := int(int32(a.Ack() - irs - 1))
		if taken <= 0 || taken >= 3000 {
			t.Fatalf("%d bytes are acknowledged", taken)
		}
		if got := c.read(taken); got != text(3000)[:taken] {
			t.Error("other bytes")
		}
		s.send(seg.ACK|seg.PSH, 1+taken, 1, text(3000)[taken:])
		if got := c.read(3000 - taken); got != text(3000)[taken:] {
			t.Error("other bytes after it")
		}
		s.drain()
	})
}

func TestTimestampsOnTheWire(t *testing.T) {
	covers.IDs(t, "S-51")
	bothServers(t, 16, usual, func(t *testing.T, s *server) {
		s.hello(s.cookie(), "hello")
		a := s.answer(6, false)
		if _, ecr, ok := a.Timestamps(); !ok || ecr != 77 {
			t.Errorf("the SYN-ACK echoes %d", ecr)
		}
		old := seg.Make(seg.Fields{Src: s.client, Dst: s.local, Seq: irs.Add(6), Ack: s.iss.Add(1), Flags: seg.ACK,
			Window: 500, Options: seg.TimestampOption(76, 0)})
		s.arrive(old)
		s.out(seg.ACK, 1, 6, "")
		s.pending(1)
		s.send(seg.ACK, 6, 1, "")
		s.pending(0)
	})
}

func TestLimitOnTheWire(t *testing.T) {
	covers.IDs(t, "S-19", "S-20", "B-10")
	bothServers(t, 16, &fastopen.ListenConfig{MaxPending: 1}, func(t *testing.T, s *server) {
		s.opened("hello")
		first := s.client
		s.client = netip.AddrPortFrom(first.Addr(), 50001)
		iss := s.iss
		s.hello(s.cookie(), "hello")
		s.answer(1, false)
		s.client, s.iss = first, iss
		s.send(seg.ACK, 6, 1, "")
		s.client = netip.AddrPortFrom(first.Addr(), 50002)
		s.hello(s.cookie(), "hello")
		s.answer(6, false)
		if n := s.link.Stats(); n.TCPFastOpenListenOverflow != 1 || n.TCPFastOpenPassive != 2 {
			t.Errorf("%+v", n.ServerStats)
		}
	})
}

func TestKeysOfTheLink(t *testing.T) {
	covers.IDs(t, "S-14", "S-15", "B-10")
	bothServers(t, 16, usual, func(t *testing.T, s *server) {
		old := s.cookie()
		if err := s.link.RotateKeys(); err != nil {
			t.Fatal(err)
		}
		s.hello(old, "hello")
		s.answer(6, true)
		s.client = netip.AddrPortFrom(s.client.Addr(), 50001)
		k, err := fastopen.ParseKeys("a0bf63f7-ed803d81-cd641d30-cebc4a90")
		if err != nil {
			t.Fatal(err)
		}
		s.link.SetKeys(k)
		if got, _ := s.link.Keys(); got != k {
			t.Error("other keys")
		}
		s.hello(old, "hello")
		s.answer(1, true)
		if n := s.link.Stats(); n.TCPFastOpenPassiveAltKey != 1 || n.TCPFastOpenPassiveFail != 1 {
			t.Errorf("%+v", n.ServerStats)
		}
	})
}

func TestDamagedSYN(t *testing.T) {
	covers.IDs(t, "H-29")
	bothServers(t, 16, usual, func(t *testing.T, s *server) {
		b := seg.Make(seg.Fields{Src: s.client, Dst: s.local, Seq: irs, Flags: seg.SYN, Window: 64000,
			Options: append(clientOptions(), request()...)}).Bytes()
		b[len(b)-1] ^= 1
		s.arriveRaw(b)
		s.quiet()
		if n := s.link.Stats(); n.TCPFastOpenCookieReqd != 0 || n.Openings != 0 {
			t.Errorf("%+v", n)
		}
	})
}

func TestIPv6ExtensionHeader(t *testing.T) {
	covers.IDs(t, "H-30")
	h := newHost(t, true, 1500, fastopen.Config{})
	h.clock.Advance(time.Minute)
	s := serve(h, 16, usual)
	b := seg.Make(seg.Fields{Src: s.client, Dst: s.local, Seq: irs, Flags: seg.SYN, Window: 64000,
		Options: append(clientOptions(), s.cookie()...), Payload: []byte("hello")}).Bytes()
	with := append([]byte(nil), b[:40]...)
	with[6] = 60 // destination options: PadN
	with = append(with, 6, 0, 1, 4, 0, 0, 0, 0)
	with = append(with, b[40:]...)
	with[5] += 8
	s.arriveRaw(with)
	if got := s.accept().read(5); got != "hello" {
		t.Errorf("read %q", got)
	}
	s.answer(6, false)
}

func TestListenersAreFound(t *testing.T) {
	h := newHost(t, false, 1500, fastopen.Config{})
	listen := func(addr string, v6only bool) *fastopen.Listener {
		t.Helper()
		a := netip.AddrPortFrom(netip.Addr{}, httpPort)
		if addr != "" {
			a = netip.AddrPortFrom(netip.MustParseAddr(addr), httpPort)
		}
		ln, err := h.link.Listen(a, fastopen.ListenConfig{V6Only: v6only})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(ln.Close)
		return ln
	}
	all := listen("", false)
	four := listen("0.0.0.0", false)
	six := listen("::", true)
	exact := listen("::ffff:192.0.2.1", false)
	if exact.Addr().String() != "192.0.2.1:80" {
		t.Errorf("listens at %v", exact.Addr())
	}
	if _, err := h.link.Listen(netip.MustParseAddrPort("0.0.0.0:80"), fastopen.ListenConfig{}); !errors.Is(err, fastopen.ErrListening) {
		t.Errorf("a second listener: %v", err)
	}
	ask := func(to netip.Addr, want *fastopen.Listener) {
		t.Helper()
		from := theirs4
		if to.Is6() {
			from = theirs6
		}
		before := want.Stats().TCPFastOpenCookieReqd
		h.arrive(seg.Make(seg.Fields{Src: netip.AddrPortFrom(from, 50000), Dst: netip.AddrPortFrom(to, httpPort),
			Seq: irs, Flags: seg.SYN, Window: 64000, Options: append(clientOptions(), request()...)}))
		if want.Stats().TCPFastOpenCookieReqd != before+1 {
			t.Errorf("a SYN to %v goes to another listener than %v", to, want.Addr())
		}
		h.settle()
		h.left()
	}
	ask(ours4, exact)
	exact.Close()
	exact.Close()
	ask(ours4, four)
	four.Close()
	ask(ours4, all)
	ask(ours6, six)
	six.Close()
	ask(ours6, all)
	ask(ours4, listen("::", false))
}

func TestListenConfig(t *testing.T) {
	h := newHost(t, false, 1500, fastopen.Config{})
	at := netip.MustParseAddrPort("[::]:80")
	for _, cfg := range []fastopen.ListenConfig{{MaxPending: -1}, {MaxPending: 65536}, {MaxPerSource: -1}, {EarlyDataCap: -1}} {
		if _, err := h.link.Listen(at, cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
	if _, err := h.link.Listen(netip.MustParseAddrPort("[::]:0"), fastopen.ListenConfig{}); err == nil {
		t.Error("a listener without port")
	}
	if _, err := fastopen.New(h.wire, fastopen.Config{Server: fastopen.ServerConfig{Replays: -1}}); err == nil {
		t.Error("a negative bound is taken")
	}
	l, err := fastopen.New(h.wire, fastopen.Config{Server: fastopen.ServerConfig{Random: strings.NewReader("")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Listen(at, fastopen.ListenConfig{}); err == nil {
		t.Error("a listener without key")
	}
	ln, err := h.link.Listen(at, fastopen.ListenConfig{Disabled: true})
	if err != nil || ln.Enabled() {
		t.Errorf("%v, %t", err, ln.Enabled())
	}
	ln.Close()
}
