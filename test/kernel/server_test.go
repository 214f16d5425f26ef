package kernel

import (
	"errors"
	"io"
	"net/netip"
	"syscall"
	"testing"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/covers"
	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/relay"
)

// service is a listening endpoint of the stack's with Fast Open.
type service struct {
	r    *rig
	at   netip.AddrPort
	ep   *stack.Endpoint
	wake chan struct{}
	tfo  *fastopen.Listener
}

const servicePort = 7777

func (r *rig) service(backlog int, cfg fastopen.ListenConfig) *service {
	r.t.Helper()
	return r.serviceAt(r.serviceAddr(), backlog, cfg)
}

func (r *rig) serviceAddr() netip.AddrPort {
	return netip.AddrPortFrom(r.wire.StackAddr(r.family), servicePort)
}

func (r *rig) serviceAt(at netip.AddrPort, backlog int, cfg fastopen.ListenConfig) *service {
	r.t.Helper()
	ep, err := r.stack.NewEndpoint(map[int]string{4: "tcp4", 6: "tcp6"}[r.family])
	check(r.t, err)
	s := &service{r: r, at: at, ep: ep, wake: make(chan struct{}, 1)}
	r.t.Cleanup(func() { check(r.t, ep.Close()) })
	ep.SetWake(signal(s.wake))
	check(r.t, ep.Bind(at))
	check(r.t, ep.Listen(backlog))
	s.tfo, err = r.stack.FastOpen().Listen(at, cfg)
	check(r.t, err)
	return s
}

func signal(c chan struct{}) func() {
	return func() {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// accept waits for a connection.
func (s *service) accept() *client {
	s.r.t.Helper()
	for {
		ep, err := s.ep.Accept()
		if err == nil {
			c := &client{r: s.r, ep: ep, wake: make(chan struct{}, 1)}
			ep.SetWake(signal(c.wake))
			return c
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

// dialed is what becomes of a connect of the kernel's.
type dialed struct {
	conn kernelpeer.Conn
	err  error
}

// dial connects from the kernel, on a goroutine of its own.
func (s *service) dial(cfg kernelpeer.ClientConfig) <-chan dialed {
	cfg.Remote = s.at
	done := make(chan dialed, 1)
	go func() {
		conn, err := kernelpeer.Dial(s.r.ctx, s.r.wire.Namespace, cfg)
		if deadline, ok := s.r.ctx.Deadline(); ok && err == nil {
			err = conn.SetDeadline(deadline) // what never comes is an error, not a wait for ever
		}
		done <- dialed{conn, err}
	}()
	return done
}

// serve takes one connection from the kernel, whose data it returns, and answers
// it. It returns what the kernel says of it.
func (s *service) serve(cfg kernelpeer.ClientConfig) kernelpeer.Info {
	s.r.t.Helper()
	done := s.dial(cfg)
	c := s.accept()
	if got := c.read(len(cfg.Data)); got != string(cfg.Data) {
		s.r.t.Errorf("the server read other bytes than the %d sent", len(cfg.Data))
	}
	_, err := c.ep.Write([][]byte{[]byte("answer")})
	check(s.r.t, err)
	d := <-done
	check(s.r.t, d.err)
	answer := make([]byte, 6)
	if _, err := io.ReadFull(d.conn, answer); err != nil || string(answer) != "answer" {
		s.r.t.Errorf("the kernel read %q, %v", answer, err)
	}
	info, err := d.conn.Info()
	check(s.r.t, err)
	check(s.r.t, d.conn.Close())
	c.end()
	return info
}

func TestKernelIsTheClient(t *testing.T) {
	covers.IDs(t, "S-02", "S-06", "B-10", "B-11", "H-17")
	for name, method := range map[string]kernelpeer.Method{"MSG_FASTOPEN": kernelpeer.SendTo, "TCP_FASTOPEN_CONNECT": kernelpeer.Deferred} {
		t.Run(name, func(t *testing.T) {
			families(t, func(t *testing.T, r *rig) {
				s, before := r.service(16, fastopen.ListenConfig{}), r.counters()
				cfg := kernelpeer.ClientConfig{Method: method, Data: []byte(text(1000))}
				if s.serve(cfg).SYNData {
					t.Error("the first connection has data in its SYN")
				}
				const rounds = 5
				for range rounds {
					if info := s.serve(cfg); !info.SYNData || info.Retransmits != 0 {
						t.Errorf("the kernel says %+v", info)
					}
				}
				if got := r.counters().Since(before); got != (kernelpeer.Counters{Active: rounds}) {
					t.Errorf("the kernel counted %+v", got)
				}
				want := fastopen.ServerStats{TCPFastOpenPassive: rounds, TCPFastOpenCookieReqd: 1}
				if got := s.tfo.Stats(); got.ServerStats != want || got.Pending != 0 {
					t.Errorf("we counted %+v", got)
				}
			})
		})
	}
}

func TestKernelWithoutCookie(t *testing.T) {
	covers.IDs(t, "S-17", "B-11")
	families(t, func(t *testing.T, r *rig) {
		s := r.service(16, fastopen.ListenConfig{Cookieless: true})
		if !s.serve(kernelpeer.ClientConfig{Method: kernelpeer.SendTo, NoCookie: true, Data: []byte("hello")}).SYNData {
			t.Error("the kernel says that its data was not taken")
		}
	})
}

func TestReadableBeforeTheACK(t *testing.T) {
	covers.IDs(t, "S-06", "S-07", "S-26", "S-29")
	families(t, func(t *testing.T, r *rig) {
		s := r.service(16, fastopen.ListenConfig{})
		cfg := kernelpeer.ClientConfig{Method: kernelpeer.SendTo, Data: []byte("hello")}
		s.serve(cfg)
		// Of the client nothing but SYNs gets through.
		r.relay.SetFilter(relay.Up, func(p relay.Packet) relay.Verdict { return relay.Verdict{Drop: !relay.SYN(p)} })
		done := s.dial(cfg)
		c := s.accept()
		if got := c.read(5); got != "hello" {
			t.Errorf("read %q", got)
		}
		if a, ok := r.stack.FastOpen().Accepted(c.ep.LocalAddr(), c.ep.RemoteAddr()); !ok || !a.Pending || a.BytesTaken != 5 {
			t.Error("the handshake is over although no ACK came")
		}
		r.relay.SetFilter(relay.Up, nil)
		_, err := c.ep.Write([][]byte{[]byte("answer")})
		check(t, err)
		d := <-done
		check(t, d.err)
		answer := make([]byte, 6)
		if _, err := io.ReadFull(d.conn, answer); err != nil {
			t.Error(err)
		}
		check(t, d.conn.Close())
		c.end()
	})
}

func TestSYNACKGetsLost(t *testing.T) {
	covers.IDs(t, "S-29", "S-30", "H-23")
	families(t, func(t *testing.T, r *rig) {
		s := r.service(16, fastopen.ListenConfig{})
		cfg := kernelpeer.ClientConfig{Method: kernelpeer.SendTo, Data: []byte("hello")}
		s.serve(cfg)
		lost := 0 // used on the relay's one goroutine of this direction
		r.relay.SetFilter(relay.Down, func(p relay.Packet) relay.Verdict {
			if relay.SYNACK(p) && lost == 0 {
				lost++
				return relay.Verdict{Drop: true}
			}
			return relay.Verdict{}
		})
		s.serve(cfg)
		if n := s.tfo.Stats().TCPFastOpenPassive; n != 1 {
			t.Errorf("%d connections were opened by their SYN, want 1", n)
		}
	})
}

func TestKeysAreShared(t *testing.T) {
	covers.IDs(t, "S-03", "S-14", "S-15", "B-11")
	families(t, func(t *testing.T, r *rig) {
		// The kernel's cookie for us is the one that we would make.
		keys, err := fastopen.ParseKeys("a0bf63f7-ed803d81-cd641d30-cebc4a90")
		check(t, err)
		check(t, kernelpeer.SetKeys(r.wire.Namespace, kernelpeer.Key(keys.Primary)))
		text, err := r.wire.Namespace.Sysctl("net.ipv4.tcp_fastopen_key")
		check(t, err)
		again, err := fastopen.ParseKeys(text)
		check(t, err)
		if again != keys {
			t.Error("the kernel writes the keys in another way")
		}
		srv := r.listen(16, 5)
		r.record.Reset()
		r.exchange(srv.Addr(), "hello")
		want := keys.Primary.Cookie(r.wire.StackAddr(r.family), r.wire.PeerAddr(r.family))
		if got := r.granted(); got != want {
			t.Errorf("the kernel's cookie is %v, ours %v", got, want)
		}

		// And ours for the kernel is honoured by whoever has the key.
		s := r.service(16, fastopen.ListenConfig{})
		r.stack.FastOpen().SetKeys(keys)
		cfg := kernelpeer.ClientConfig{Method: kernelpeer.SendTo, Data: []byte("hello")}
		s.serve(cfg)
		r.stack.FastOpen().SetKeys(fastopen.Keys{Primary: tfo.Key{1}, Backup: keys.Primary, HasBackup: true})
		if !s.serve(cfg).SYNData || s.tfo.Stats().TCPFastOpenPassiveAltKey != 1 {
			t.Error("the backup key is not honoured")
		}
		if !s.serve(cfg).SYNData || s.tfo.Stats().TCPFastOpenPassiveAltKey != 1 {
			t.Error("the cookie of the new key was not brought, or not taken")
		}
		r.stack.FastOpen().SetKeys(fastopen.Keys{Primary: tfo.Key{2}})
		if s.serve(cfg).SYNData || !s.serve(cfg).SYNData {
			t.Error("a wrong cookie is not replaced by a right one")
		}
	})
}

// granted is the cookie of the last SYN-ACK of the kernel's.
func (r *rig) granted() (c tfo.Cookie) {
	for _, e := range r.record.Reset() {
		if s, err := seg.Parse(e.Bytes); err == nil && e.Direction == relay.Up {
			if o, ok := tfo.ParseOption(s); ok && s.Flags().Has(seg.ACK) {
				c = o.Cookie
			}
		}
	}
	return c
}
