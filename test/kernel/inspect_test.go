package kernel

import (
	"errors"
	"syscall"
	"testing"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/relay"
)

// inspecting is a service that is asked before each handshake.
func (r *rig) inspecting() *service {
	r.t.Helper()
	ep, err := r.stack.NewEndpoint(map[int]string{4: "tcp4", 6: "tcp6"}[r.family])
	check(r.t, err)
	s := &service{r: r, at: r.serviceAddr(), ep: ep, wake: make(chan struct{}, 1)}
	r.t.Cleanup(func() { check(r.t, ep.Close()) })
	ep.SetWake(signal(s.wake))
	check(r.t, errors.Join(ep.SetInspect(true), ep.Bind(s.at), ep.Listen(16)))
	s.tfo, err = ep.ServeFastOpen(fastopen.ListenConfig{})
	check(r.t, err)
	return s
}

// request waits for the kernel's SYN to be told of.
func (s *service) request() stack.Request {
	s.r.t.Helper()
	for {
		q, err := s.ep.NextRequest()
		if err == nil {
			return q
		}
		if !errors.Is(err, syscall.EAGAIN) {
			s.r.t.Fatal(err)
		}
		select {
		case <-s.wake:
		case <-s.r.ctx.Done():
			s.r.t.Fatal(s.r.ctx.Err())
		}
	}
}

// answered counts the segments to the peer of a request.
func (s *service) answered(q stack.Request) (n int) {
	for _, e := range s.r.record.Events() {
		if p, err := seg.Parse(e.Bytes); err == nil && e.Direction == relay.Down && p.Dst() == q.Remote && p.Src() == q.Local {
			n++
		}
	}
	return n
}

// TestInspect has the kernel's SYNs wait for the listener, with and without a cookie and
// data in them, and one refused.
func TestInspect(t *testing.T) {
	families(t, func(t *testing.T, r *rig) {
		s := r.inspecting()
		for k, accepted := range []int{0, 4} {
			done := s.dial(kernelpeer.ClientConfig{Method: kernelpeer.SendTo, Data: []byte("data")})
			q := s.request()
			if n := s.answered(q); n != 0 {
				t.Errorf("connection %d: %d segments went to the kernel before Decide", k, n)
			}
			check(t, s.ep.Decide(q.ID, true))
			c := s.accept()
			if got := c.read(4); got != "data" {
				t.Errorf("connection %d: read %q", k, got)
			}
			if id, ok := c.ep.RequestID(); !ok || id != q.ID {
				t.Errorf("connection %d: of request %d, want %d", k, id, q.ID)
			}
			d := <-done
			check(t, d.err)
			if got := c.ep.FastOpenInfo().BytesAccepted; got != accepted {
				t.Errorf("connection %d: %d bytes in the SYN, want %d", k, got, accepted)
			}
			c.ep.Abort()
			_ = d.conn.Close() // it was reset
		}
		done := s.dial(kernelpeer.ClientConfig{})
		check(t, s.ep.Decide(s.request().ID, false))
		if d := <-done; !errors.Is(d.err, syscall.ECONNREFUSED) {
			t.Errorf("refused: %v", d.err)
		}
	})
}

// TestSilence has the kernel talk to a connection that has fallen silent, and close it:
// nothing comes back.
func TestSilence(t *testing.T) {
	families(t, func(t *testing.T, r *rig) {
		s := r.service(16, fastopen.ListenConfig{Disabled: true})
		done := s.dial(kernelpeer.ClientConfig{})
		c := s.accept()
		d := <-done
		check(t, d.err)
		q := stack.Request{Local: c.ep.LocalAddr(), Remote: c.ep.RemoteAddr()}
		end, err := c.ep.Silence()
		check(t, err)
		before := s.answered(q)
		_, err = d.conn.Write([]byte("hello"))
		check(t, err)
		check(t, d.conn.Close())
		// Another connection goes the same way behind it, both ways.
		done = s.dial(kernelpeer.ClientConfig{})
		other := s.accept()
		d = <-done
		check(t, d.err)
		if n := s.answered(q); n != before {
			t.Errorf("%d segments went to the kernel", n-before)
		}
		other.ep.Abort()
		_ = d.conn.Close() // it was reset
		end()
	})
}
