package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/test/covers"
	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/relay"
)

// record is what the kernel's server knows of connection i in the end.
func (r *rig) served(srv *kernelpeer.Server, i int, want string) kernelpeer.Record {
	r.t.Helper()
	rec, err := srv.Finished(r.ctx, i)
	check(r.t, err)
	if string(rec.Received) != want {
		r.t.Errorf("the server received %d bytes, want %d, or other ones", len(rec.Received), len(want))
	}
	return rec
}

func TestCookieAndData(t *testing.T) {
	covers.IDs(t, "C-01", "C-02", "C-04", "C-19", "B-03", "B-11")
	families(t, func(t *testing.T, r *rig) {
		srv, before := r.listen(16, 1000), r.counters()
		o := r.exchange(srv.Addr(), text(1000))
		r.want(o, 0, 0, tfo.ReasonNoCookie)
		if o.Cookie != tfo.CookieGranted {
			t.Errorf("cookie %v", o.Cookie)
		}
		if got := r.counters().Since(before); got != (kernelpeer.Counters{CookieReqd: 1}) {
			t.Errorf("the kernel counted %+v", got)
		}
		before = r.counters()
		r.want(r.exchange(srv.Addr(), text(1000)), 1000, 1000, none)
		if got := r.counters().Since(before); got != (kernelpeer.Counters{Passive: 1}) {
			t.Errorf("the kernel counted %+v", got)
		}
		if r.served(srv, 0, text(1000)).AcceptInfo.SYNData {
			t.Error("the kernel says that data was in the first SYN")
		}
		rec := r.served(srv, 1, text(1000))
		if !rec.AcceptInfo.SYNData {
			t.Error("the kernel says that no data was in the SYN")
		}
		if rec.EndInfo.Retransmits != 0 {
			t.Errorf("the kernel retransmitted %d segments", rec.EndInfo.Retransmits)
		}
	})
}

func TestMoreThanTheSYN(t *testing.T) {
	covers.IDs(t, "C-05", "C-20", "P2")
	families(t, func(t *testing.T, r *rig) {
		for _, size := range []int{1421, 5000, 65535} {
			srv := r.listen(16, size)
			r.stack.FastOpen().Forget()
			r.exchange(srv.Addr(), text(size))
			limit := map[int]int{4: 1420, 6: 1400}[r.family]
			r.want(r.exchange(srv.Addr(), text(size)), limit, limit, none)
			r.served(srv, 0, text(size))
			r.served(srv, 1, text(size))
		}
	})
}

func TestMTU(t *testing.T) {
	covers.IDs(t, "C-05", "C-10", "C-63", "H-31")
	for _, tt := range []struct{ family, mtu, want int }{
		{4, 1280, 1200}, {6, 1280, 1180}, {4, 1500, 1420}, {6, 1500, 1400}, {4, 9000, 1420}, {6, 9000, 1400},
	} {
		t.Run(fmt.Sprintf("IPv%d MTU %d", tt.family, tt.mtu), func(t *testing.T) {
			r := newRig(t, tt.family, tt.mtu)
			srv := r.listen(16, 3000)
			r.exchange(srv.Addr(), text(3000))
			r.want(r.exchange(srv.Addr(), text(3000)), tt.want, tt.want, none)
			if !r.served(srv, 1, text(3000)).AcceptInfo.SYNData {
				t.Error("the kernel says that no data was in the SYN")
			}
		})
	}
}

func TestRotatedKey(t *testing.T) {
	covers.IDs(t, "C-21", "C-26")
	families(t, func(t *testing.T, r *rig) {
		srv := r.listen(16, 100)
		r.exchange(srv.Addr(), text(100))
		check(t, kernelpeer.SetKeys(r.wire.Namespace, kernelpeer.Key{1}))
		before := r.counters()
		o := r.exchange(srv.Addr(), text(100))
		r.want(o, 100, 0, tfo.ReasonNotAcked)
		if o.Cookie != tfo.CookieReplaced {
			t.Errorf("cookie %v", o.Cookie)
		}
		r.want(r.exchange(srv.Addr(), text(100)), 100, 100, none) // the new one is used
		// A key that is kept as a backup: accepted, and replaced.
		check(t, kernelpeer.SetKeys(r.wire.Namespace, kernelpeer.Key{2}, kernelpeer.Key{1}))
		o = r.exchange(srv.Addr(), text(100))
		r.want(o, 100, 100, none)
		if o.Cookie != tfo.CookieReplaced {
			t.Errorf("cookie %v", o.Cookie)
		}
		r.want(r.exchange(srv.Addr(), text(100)), 100, 100, none)
		if got, want := r.counters().Since(before), (kernelpeer.Counters{Passive: 3, PassiveFail: 1, PassiveAltKey: 1}); got != want {
			t.Errorf("the kernel counted %+v, want %+v", got, want)
		}
		for i := range 5 {
			r.served(srv, i, text(100))
		}
	})
}

func TestListenerWithoutFastOpen(t *testing.T) {
	covers.IDs(t, "B-04", "C-43")
	families(t, func(t *testing.T, r *rig) {
		srv, before := r.listen(0, 100), r.counters()
		r.want(r.exchange(srv.Addr(), text(100)), 0, 0, tfo.ReasonNoCookie)
		r.want(r.exchange(srv.Addr(), text(100)), 0, 0, tfo.ReasonServerSilent)
		if got := r.counters().Since(before); got.Passive != 0 {
			t.Errorf("the kernel counted %+v", got)
		}
		r.served(srv, 0, text(100))
		r.served(srv, 1, text(100))
	})
}

func TestSYNWithDataIsDropped(t *testing.T) {
	covers.IDs(t, "C-34", "C-37", "C-39", "P5")
	families(t, func(t *testing.T, r *rig) {
		srv := r.listen(16, 100)
		r.exchange(srv.Addr(), text(100))
		r.relay.SetFilter(relay.Down, relay.On(relay.SYNWithData, relay.Drop))
		r.syns()
		o := r.exchange(srv.Addr(), text(100))
		r.want(o, 100, 0, tfo.ReasonSYNLost)
		if n := len(r.syns()); n != 2 {
			t.Errorf("%d SYNs, want the lost one and a plain one", n)
		}
		r.want(r.exchange(srv.Addr(), text(100)), 0, 0, tfo.ReasonPaused)
		if n := len(r.syns()); n != 1 {
			t.Errorf("%d SYNs on the path that is paused, want 1", n)
		}
		r.served(srv, 1, text(100))
		r.served(srv, 2, text(100))
	})
}

func TestOptionIsStripped(t *testing.T) {
	covers.IDs(t, "B-06", "B-07")
	families(t, func(t *testing.T, r *rig) {
		srv := r.listen(16, 100)
		r.exchange(srv.Addr(), text(100))
		r.relay.SetFilter(relay.Down, relay.On(relay.SYN, relay.StripFastOpen))
		r.want(r.exchange(srv.Addr(), text(100)), 100, 0, tfo.ReasonNotAcked)
		r.served(srv, 1, text(100))
		r.relay.SetFilter(relay.Down, nil)
		// From the answer: the new cookie does not come, the old one still works.
		r.relay.SetFilter(relay.Up, relay.On(relay.SYNACK, relay.StripFastOpen))
		r.want(r.exchange(srv.Addr(), text(100)), 100, 100, none)
		r.served(srv, 2, text(100))
	})
}

func TestMiddleboxAnswersWithReset(t *testing.T) {
	covers.IDs(t, "C-31", "P5")
	families(t, func(t *testing.T, r *rig) {
		srv := r.listen(16, 100)
		r.exchange(srv.Addr(), text(100))
		r.relay.SetFilter(relay.Down, relay.On(relay.SYNWithData, relay.Reset))
		r.want(r.exchange(srv.Addr(), text(100)), 100, 0, tfo.ReasonRefused)
		r.want(r.exchange(srv.Addr(), text(100)), 0, 0, tfo.ReasonPaused)
		r.served(srv, 1, text(100))
	})
}

func TestClosedPort(t *testing.T) {
	covers.IDs(t, "C-31", "C-32", "H-03")
	families(t, func(t *testing.T, r *rig) {
		srv := r.listen(16, 100)
		r.exchange(srv.Addr(), text(100)) // so that there is a cookie
		closed := netip.AddrPortFrom(srv.Addr().Addr(), 9)
		c := r.start(closed, text(100))
		if err := c.connected(); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v, want %v", err, syscall.ECONNREFUSED)
		}
		o := c.ep.FastOpenInfo()
		r.want(o, 100, 0, tfo.ReasonRefused)
		check(t, c.ep.Close())
		// A closed port says nothing about Fast Open.
		if !r.stack.FastOpen().HasCookie(r.wire.StackAddr(r.family), closed) {
			t.Error("the path is held back")
		}
	})
}

func TestServerResets(t *testing.T) {
	covers.IDs(t, "P2")
	families(t, func(t *testing.T, r *rig) {
		srv := r.serve(kernelpeer.ServerConfig{FastOpen: 16, Handler: kernelpeer.Reset})
		for range 2 {
			c := r.start(srv.Addr(), text(100))
			if err := c.connected(); err == nil {
				err = c.wait(func() (bool, error) {
					_, err := c.ep.Read([][]byte{make([]byte, 1)})
					return false, err
				})
				if !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("read: %v", err)
				}
			}
			check(t, c.ep.Close())
		}
	})
}

func TestSwitchedOff(t *testing.T) {
	covers.IDs(t, "C-03", "B-05")
	families(t, func(t *testing.T, r *rig) {
		srv := r.listen(16, 100)
		r.exchange(srv.Addr(), text(100))
		r.stack.FastOpen().SetMode(fastopen.ModeOff)
		before := r.counters()
		r.want(r.exchange(srv.Addr(), text(100)), 0, 0, tfo.ReasonOff)
		if got := r.counters().Since(before); got != (kernelpeer.Counters{}) {
			t.Errorf("the kernel counted %+v", got)
		}
		r.stack.FastOpen().SetMode(fastopen.ModeOn)
		r.want(r.exchange(srv.Addr(), text(100)), 100, 100, none)
	})
}

func TestThousandInARow(t *testing.T) {
	covers.IDs(t, "B-11", "C-59")
	families(t, func(t *testing.T, r *rig) {
		const connections = 1000
		srv := r.listen(64, 700)
		r.exchange(srv.Addr(), text(700))
		before := r.counters()
		for range connections {
			r.want(r.exchange(srv.Addr(), text(700)), 700, 700, none)
		}
		if got, want := r.counters().Since(before), (kernelpeer.Counters{Passive: connections}); got != want {
			t.Errorf("the kernel counted %+v, want %+v", got, want)
		}
		for i := range connections + 1 {
			r.served(srv, i, text(700))
		}
		st := r.stack.FastOpen().Stats()
		if st.TCPFastOpenActive != connections || st.TCPFastOpenActiveFail != 0 {
			t.Errorf("we counted %+v", st)
		}
	})
}

func TestAcknowledgedByTheSYNACK(t *testing.T) {
	covers.IDs(t, "C-19", "H-10", "P2")
	families(t, func(t *testing.T, r *rig) {
		srv := r.listen(16, 700)
		r.exchange(srv.Addr(), text(700))
		const oneWay = 50 * time.Millisecond
		r.relay.SetDelay(relay.Down, oneWay)
		r.relay.SetDelay(relay.Up, oneWay)
		c := r.start(srv.Addr(), text(700))
		check(t, c.connected())
		// Netstack itself is told a round trip later.
		if n := c.ep.Unacknowledged(); n != 0 {
			t.Errorf("%d bytes count as not acknowledged although the SYN-ACK covered them", n)
		}
		c.read(6)
		c.end()
	})
}
