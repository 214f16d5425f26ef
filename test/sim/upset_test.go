package sim

import (
	"bytes"
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/stack/stacktest"
	"github.com/wskstack/wskstack/test/covers"
)

// run is a run of its own with two hosts, 10 ms apart.
func run(t *testing.T, seed uint64, f func(w *world)) {
	t.Helper()
	stacktest.Run(t, stacktest.Config{Seed: seed, Dir: *dir, Replay: "go test ./test/sim -run '^" + t.Name() + "$'"},
		func(n *stacktest.Net) {
			f(build(n, false, fastopen.ModeOn, stacktest.Both(stacktest.Path{Delay: 10 * time.Millisecond})))
		})
}

// echo answers each piece as it comes.
func echo(_ *world, c *stacktest.Conn, a *arrival) {
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		a.got = append(a.got, buf[:n]...)
		if err == nil {
			_, err = c.Write(buf[:n])
		}
		if err != nil {
			a.err = err
			_ = c.Close()
			return
		}
	}
}

// dial connects with a payload and reads its echo.
func (w *world) dial(payload []byte) (*stacktest.Conn, error) {
	c, err := w.client.Dial(w.serverAddr(), stack.ConnectOptions{Data: payload})
	if err != nil {
		return c, err
	}
	got := make([]byte, len(payload))
	if _, err := readFull(c, got); err != nil {
		return c, err
	}
	if !bytes.Equal(got, payload) {
		w.t.Errorf("the echo is %s", difference(got, payload))
	}
	return c, nil
}

func (w *world) mustDial(payload []byte) *stacktest.Conn {
	w.t.Helper()
	c, err := w.dial(payload)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func isReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }

// Row 20: the translator on the way takes another address. What is open breaks with
// an error; the cookie is no longer the client's, and the next connection opens all
// the same, with a new one.
func TestRow20Rebinding(t *testing.T) {
	covers.IDs(t, "P2", "P5", "S-10", "C-26")
	run(t, 20, func(w *world) {
		first, second := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
		nat := stacktest.NewNAT(w.client.Line(), client4, first)
		w.client.Line().SetBoxes(nat.Box)
		w.serve(&fastopen.ListenConfig{}, echo)
		_ = w.mustDial(pattern(100)).Close()
		open := w.mustDial(pattern(200))
		if o := open.FastOpenInfo(); o.BytesAccepted != 200 {
			w.t.Errorf("before the change: %+v", o)
		}
		nat.Rebind(second)
		if _, err := open.Write(pattern(50)); err != nil {
			w.t.Error(err)
		}
		if _, err := open.Read(make([]byte, 50)); !isReset(err) {
			w.t.Errorf("after the change the old connection says %v", err)
		}
		_ = open.Close()
		stale := w.mustDial(pattern(300))
		if o := stale.FastOpenInfo(); o.BytesInSYN != 300 || o.BytesAccepted != 0 || o.Cookie != tfo.CookieReplaced {
			w.t.Errorf("with the old cookie: %+v", o)
		}
		_ = stale.Close()
		fresh := w.mustDial(pattern(400))
		if o := fresh.FastOpenInfo(); o.BytesAccepted != 400 {
			w.t.Errorf("with the new cookie: %+v", o)
		}
		_ = fresh.Close()
		w.abandon = true // the server's end of the broken connection knows nothing
		w.finish()
	})
}

// Row 21: the peer's machine loses its power and comes back, or does not.
func TestRow21Reboot(t *testing.T) {
	covers.IDs(t, "P2", "P4", "P5")
	for name, back := range map[string]bool{"back": true, "silent": false} {
		t.Run(name, func(t *testing.T) {
			run(t, 21, func(w *world) {
				w.serve(&fastopen.ListenConfig{}, echo)
				_ = w.mustDial(pattern(100)).Close()
				open := w.mustDial(pattern(200))
				w.server.Close()
				if back {
					w.server = w.n.Host("server again", stacktest.LineConfig{}, hostConfig(server4, server6))
					w.serve(&fastopen.ListenConfig{}, echo)
				}
				_, err := open.Write(pattern(50))
				if err == nil {
					_, err = open.Read(make([]byte, 50))
				}
				switch {
				case back && !isReset(err):
					w.t.Errorf("the connection says %v", err)
				case !back && !timedOut(err):
					w.t.Errorf("the connection says %v", err)
				}
				_ = open.Close()
				next, err := w.dial(pattern(300))
				switch {
				case back && err != nil:
					w.t.Error(err)
				case !back && !timedOut(err):
					w.t.Errorf("connecting to nobody says %v", err)
				}
				if back {
					// Its keys are new: the cookie is refused and replaced.
					if o := next.FastOpenInfo(); o.BytesInSYN != 300 || o.BytesAccepted != 0 {
						w.t.Errorf("%+v", o)
					}
					_ = next.Close()
					w.finish()
					return
				}
				w.n.Sleep(idle)
				for _, left := range w.client.Leftovers() {
					w.t.Error(left)
				}
			})
		})
	}
}

// A proxy acknowledges the SYN's data and throws it away. The stream cannot be
// whole; it has to end with an error, and nothing wrong may be delivered.
func TestAcknowledgedAndLost(t *testing.T) {
	covers.IDs(t, "P2", "P4")
	run(t, 22, func(w *world) {
		w.serve(&fastopen.ListenConfig{}, echo)
		_ = w.mustDial(pattern(100)).Close()
		w.client.Line().SetBoxes(stacktest.AckAndDropSYNData())
		c, err := w.client.Dial(w.serverAddr(), stack.ConnectOptions{Data: pattern(300)})
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := c.Write(pattern(3000)); err != nil {
			w.t.Error(err)
		}
		got, err := read(c)
		if err == nil || len(got) > 0 {
			w.t.Errorf("read %d bytes, %v", len(got), err)
		}
		_ = c.Close()
		w.abandon = true
		w.finish()
	})
}

func pattern(n int) []byte { return stream(7, 7, n, false) }

func addrOf4() netip.AddrPort { return netip.AddrPortFrom(server4, port) }

// Row 23: the server stops reading for an hour. The client holds no more than its
// buffer, keeps the connection, and all arrives when the server reads on.
func TestRow23ZeroWindow(t *testing.T) {
	covers.IDs(t, "P2", "P7")
	run(t, 23, func(w *world) {
		const size = 3 << 20
		up := pattern(size)
		w.serve(&fastopen.ListenConfig{}, func(w *world, c *stacktest.Conn, a *arrival) {
			w.n.Sleep(time.Hour)
			a.got, a.err = read(c)
			_ = c.Close()
		})
		c, err := w.client.Open(w.serverAddr())
		if err != nil {
			w.t.Fatal(err)
		}
		if err := errors.Join(c.SetSendBuffer(64<<10), c.Connect(w.serverAddr(), stack.ConnectOptions{Data: up[:1000]})); err != nil {
			w.t.Fatal(err)
		}
		if err := c.Connected(); err != nil {
			w.t.Fatal(err)
		}
		c.SetLimit(2 * time.Hour)
		local := c.LocalAddr()
		most := 0
		for rest := up[1000:]; len(rest) > 0; {
			n, err := c.Write(rest[:min(len(rest), 8192)])
			if err != nil {
				w.t.Fatal(err)
			}
			rest = rest[n:]
			most = max(most, c.Unacknowledged())
		}
		if limit := 2 * 64 << 10; most > limit {
			w.t.Errorf("%d bytes were held, with a buffer of %d", most, 64<<10)
		}
		if err := c.CloseWrite(); err != nil {
			w.t.Error(err)
		}
		if more, err := read(c); err != nil || len(more) > 0 {
			w.t.Errorf("read %d bytes, %v", len(more), err)
		}
		_ = c.Close()
		if w.n.Now() < time.Hour {
			w.t.Error("nothing ever stood still")
		}
		w.finish()
		w.check(0, &result{local: local, sent: up}, false)
	})
}

// Row 23: the peer takes back some of the window that it offered (RFC 9293 §3.8.6
// has a sender live with that), opens it again, and gets the whole stream.
func TestRow23ShrinkingWindow(t *testing.T) {
	covers.IDs(t, "P2", "P4")
	stacktest.Run(t, stacktest.Config{Seed: 23, Dir: *dir, Replay: "go test ./test/sim -run '^" + t.Name() + "$'"},
		func(n *stacktest.Net) {
			client := n.Host("client", stacktest.Both(stacktest.Path{Delay: 10 * time.Millisecond}), hostConfig(client4))
			s := &script{n: n, peer: n.Peer("peer", stacktest.LineConfig{}, server4), accepts: 100, end: 5000}
			// What the peer offers with each segment it sends.
			offers := []uint16{1000, 500, 100, 0, 0, 40, 3000, 0, 8000}
			s.window = func() uint16 {
				if len(offers) > 1 {
					offers = offers[1:]
				}
				return offers[0]
			}
			played := n.Go(s.play)
			payload := pattern(5000)
			c, err := client.Dial(addrOf4(), stack.ConnectOptions{Data: payload[:100], FastOpen: fastopen.ModeCookieless})
			if err != nil {
				n.T().Fatal(err)
			}
			if _, err := c.Write(payload[100:]); err != nil {
				n.T().Error(err)
			}
			if got, err := read(c); err != nil || len(got) > 0 {
				n.T().Errorf("read %d bytes, %v", len(got), err)
			}
			_ = c.Close()
			played()
			if !bytes.Equal(s.got, payload) {
				n.T().Errorf("the peer got %s", difference(s.got, payload))
			}
			n.Sleep(idle)
			for _, left := range client.Leftovers() {
				n.T().Error(left)
			}
		})
}

// The SYN-ACK is the one packet that gets lost, and more of the early answer
// overtakes its repeat than is kept (H-12): nothing is reset, and the payload, which
// the server has had all along, is not brought a second time.
func TestAnswerOvertakesSYNACK(t *testing.T) {
	covers.IDs(t, "C-50", "H-04", "H-12", "P2")
	run(t, 39042, func(w *world) {
		down := pattern(14000) // an initial window of ten segments
		w.serve(&fastopen.ListenConfig{}, func(_ *world, c *stacktest.Conn, a *arrival) {
			if _, a.err = c.Write(down); a.err == nil {
				a.got, a.err = read(c)
			}
			_ = c.Close()
		})
		_ = w.mustGet(pattern(10), down)
		w.client.Line().SetBoxes(
			stacktest.Nth(stacktest.SYNACK, stacktest.Drop, 1),
			stacktest.On(stacktest.All(stacktest.Going(stacktest.In), stacktest.Data), stacktest.Duplicate))
		r := w.mustGet(pattern(300), down)
		if o := r.outcome; o.BytesAccepted != 300 {
			w.t.Errorf("%+v", o)
		}
		if n := w.client.Stack.Stats().ResetsSent; n > 0 {
			w.t.Errorf("%d resets were sent", n)
		}
		w.finish()
		w.check(1, r, false)
	})
}

// mustGet sends up and a FIN, and reads down.
func (w *world) mustGet(up, down []byte) *result {
	w.t.Helper()
	r := &result{sent: up, want: down}
	c, err := w.client.Dial(w.serverAddr(), stack.ConnectOptions{Data: up})
	if err != nil {
		w.t.Fatal(err)
	}
	r.local, r.outcome = c.LocalAddr(), c.FastOpenInfo()
	if err := c.CloseWrite(); err != nil {
		w.t.Error(err)
	}
	if r.got, r.err = read(c); r.err != nil || !bytes.Equal(r.got, down) {
		w.t.Errorf("the client got %s, %v", difference(r.got, down), r.err)
	}
	_ = c.Close()
	return r
}
