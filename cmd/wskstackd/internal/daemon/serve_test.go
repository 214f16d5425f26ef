package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/proxy"
)

// Where the SYN may carry data, the client is let speak before the dial, and what it
// says goes along; the rest follows.
func TestFirstBytesGoIntoTheDial(t *testing.T) {
	r := newRig(t, t.Context(), patience, func(n *scripted) { n.data = true })
	r.send(hello)
	r.expect(r.client, "\x05\x00")
	r.send(toPeer)
	r.expect(r.client, granted)
	r.undialled()
	r.send("first")
	if d := r.dial(); d.data != "first" || !slices.Equal(d.addrs, addrs("192.0.2.1")) {
		t.Errorf("dialled %+v", d)
	}
	r.send(" and more")
	r.expect(r.far, " and more") // the network has taken the first
	if _, err := io.WriteString(r.far, "answer"); err != nil {
		t.Fatal(err)
	}
	r.expect(r.client, "answer")
	if err := errors.Join(r.client.CloseWrite(), r.far.CloseWrite()); err != nil {
		t.Fatal(err)
	}
	<-r.ended
	s := &r.d.services[0]
	if s.ToPeer.Load() != 14 || s.FromPeer.Load() != 6 || s.Cut.Load() != 0 {
		t.Errorf("counted %d, %d, %d", s.ToPeer.Load(), s.FromPeer.Load(), s.Cut.Load())
	}
}

// A client that waits for the server to speak first is not waited for longer.
func TestServerSpeaksFirst(t *testing.T) {
	r := newRig(t, t.Context(), time.Millisecond, func(n *scripted) { n.data = true })
	r.send(hello + toPeer)
	r.expect(r.client, "\x05\x00"+granted)
	if d := r.dial(); d.data != "" {
		t.Errorf("dialled %+v", d)
	}
	if _, err := io.WriteString(r.far, "220 ready"); err != nil {
		t.Fatal(err)
	}
	r.expect(r.client, "220 ready")
}

// What a client of SOCKS5 sends without waiting for answers goes into the dial
// whether or not there is a wait.
func TestEarlyData(t *testing.T) {
	for _, wait := range []time.Duration{0, patience} {
		for _, data := range []bool{false, true} {
			r := newRig(t, t.Context(), wait, func(n *scripted) { n.data = data })
			r.send(hello + toPeer + "early")
			if d := r.dial(); d.data != "early" {
				t.Errorf("wait %v: dialled %+v", wait, d)
			}
		}
	}
}

// Where the SYN may not carry data, or nobody wants to wait, the dial comes first and
// the answer is true.
func TestTruthfulAnswers(t *testing.T) {
	for _, c := range []struct {
		wait time.Duration
		data bool
	}{{patience, false}, {0, true}} {
		r := newRig(t, t.Context(), c.wait, func(n *scripted) { n.data = c.data })
		r.send(hello + toPeer)
		r.dial()
		r.expect(r.client, "\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01") // and the port

		r = newRig(t, t.Context(), c.wait, func(n *scripted) { n.data, n.err = c.data, syscall.ECONNREFUSED })
		r.send(hello + toPeer)
		r.expect(r.client, "\x05\x00\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00")
		if rest, err := io.ReadAll(r.client); err != nil || len(rest) > 0 {
			t.Errorf("after the answer: %q, %v", rest, err)
		}
	}
}

// A connect that fails after the grant is a reset.
func TestResetAfterTheGrant(t *testing.T) {
	r := newRig(t, t.Context(), patience, func(n *scripted) { n.data, n.err = true, syscall.ECONNREFUSED })
	r.send(hello + toPeer)
	r.expect(r.client, "\x05\x00"+granted)
	r.send("first")
	if _, err := io.ReadAll(r.client); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the end was %v", err)
	}
}

// What is denied is denied before anybody dials or is granted anything, whatever
// name it has.
func TestDeniedBeforeTheDial(t *testing.T) {
	for name, request := range map[string]string{
		"an address": "\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50",
		"a name":     "\x05\x01\x00\x03\x0dlocal.example\x00\x50",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, t.Context(), patience, func(n *scripted) { n.data = true })
			r.send(hello + request)
			r.expect(r.client, "\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00")
			<-r.ended
			r.undialled()
		})
	}
	r := newRig(t, t.Context(), patience, func(*scripted) {})
	r.send("CONNECT local.example:80 HTTP/1.1\r\nHost: x\r\n\r\n")
	answer, err := io.ReadAll(r.client)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 403 ") || !strings.Contains(string(answer), "denied: 127.0.0.1 is a loopback address") {
		t.Errorf("got %q, %v", answer, err)
	}
}

// A refused client reads the answer although it had more to say.
func TestAnswerOutlivesWhatIsUnread(t *testing.T) {
	r := newRig(t, t.Context(), 0, func(*scripted) {})
	r.send("\x05\x01\x02" + strings.Repeat("x", 20<<10)) // a method that is not there
	r.expect(r.client, "\x05\xff")
	if rest, err := io.ReadAll(r.client); err != nil || len(rest) > 0 {
		t.Errorf("then came %q, %v", rest, err)
	}
}

// A page in a browser that posts to the proxy learns nothing.
func TestCrossProtocolIsDropped(t *testing.T) {
	r := newRig(t, t.Context(), 0, func(*scripted) {})
	r.send("POST / HTTP/1.1\r\nHost: 127.0.0.1:1080\r\nContent-Length: 40\r\n\r\nCONNECT peer.example:25 HTTP/1.1\r\n\r\n")
	if answer, err := io.ReadAll(r.client); err != nil || len(answer) > 0 {
		t.Errorf("got %q, %v", answer, err)
	}
	<-r.ended
	r.undialled()
}

// The end of the context ends a negotiation, and a connection, at once.
func TestCutAtAnyMoment(t *testing.T) {
	for name, say := range map[string]string{"silent": "", "greeted": hello, "connected": hello + toPeer} {
		t.Run(name, func(t *testing.T) {
			ctx, cut := context.WithCancelCause(t.Context())
			r := newRig(t, ctx, 0, func(*scripted) {})
			r.send(say)
			switch name {
			case "greeted":
				r.expect(r.client, "\x05\x00")
			case "connected":
				r.expect(r.client, "\x05\x00\x05\x00")
			}
			cut(errStopped)
			<-r.ended
		})
	}
}

// piped is an end of a net.Pipe whose time is that of the test's bubble.
type piped struct{ net.Conn }

func (p piped) CloseWrite() error   { return nil }
func (p piped) SetLinger(int) error { return nil }

// A client that sends a byte each second is not served after the limit, however
// little it has left to say.
func TestSlowClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(Options{ConnectTimeout: time.Minute}, slogDiscard())
		d.net = &scripted{dials: make(chan dialled, 1)}
		client, server := net.Pipe()
		begin := time.Now()
		ended := make(chan time.Duration)
		go func() {
			d.proxied(t.Context(), piped{server}, 0, &d.services[0])
			ended <- time.Since(begin)
		}()
		written := make(chan struct{})
		go func() {
			defer close(written)
			for _, c := range []byte("\x05\xff" + strings.Repeat("\x01", 255)) {
				if _, err := client.Write([]byte{c}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		if took := <-ended; took < negotiationLimit || took > negotiationLimit+lingerLimit {
			t.Errorf("it was served for %v", took)
		}
		client.Close()
		<-written
	})
}

// More connections than the limit are reset, and there is room again when one ends.
func TestTooManyConnections(t *testing.T) {
	d := newDaemon(Options{MaxConnections: 2}, slogDiscard())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		d.accept(t.Context(), port{l, &d.services[1], func(_ context.Context, c connType) {
			_, _ = c.Write([]byte("in"))
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}})
	}()
	enter := func() (net.Conn, error) {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(patience))
		_, err = io.ReadFull(c, make([]byte, 2))
		return c, err
	}
	first, err := enter()
	if err != nil {
		t.Fatal(err)
	}
	second, err := enter()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := enter(); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("one too many: %v", err)
		}
	}
	first.Close()
	for err = errors.New("full"); err != nil; _, err = enter() { // until its place is free
		if t.Context().Err() != nil {
			t.Fatal("no place became free")
		}
	}
	s := &d.services[1]
	if s.Accepted.Load() != 3 || s.TooMany.Load() < 3 {
		t.Errorf("accepted %d, too many %d", s.Accepted.Load(), s.TooMany.Load())
	}
	l.Close()
	second.Close()
	<-accepted
}

// A listener that cannot accept for a while goes on, and says so once.
func TestAcceptFailsForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		d := newDaemon(Options{MaxConnections: 1}, slogTo(&log))
		d.accept(t.Context(), port{&faulty{left: 50}, &d.services[0], nil})
		if n := strings.Count(log.String(), "cannot be accepted"); n != 1 {
			t.Errorf("it said so %d times", n)
		}
	})
}

// faulty is a listener without descriptors, that is closed then.
type faulty struct{ left int }

func (f *faulty) Accept() (net.Conn, error) {
	if f.left--; f.left < 0 {
		return nil, net.ErrClosed
	}
	return nil, syscall.EMFILE
}
func (f *faulty) Close() error   { return nil }
func (f *faulty) Addr() net.Addr { return &net.TCPAddr{} }

// Each kind of error has its answer.
func TestResults(t *testing.T) {
	for _, c := range []struct {
		err  error
		want proxy.Result
	}{
		{nil, proxy.Granted},
		{deniedError{"x"}, proxy.Denied},
		{&net.DNSError{IsNotFound: true}, proxy.NameUnknown},
		{&net.DNSError{IsTimeout: true}, proxy.TimedOut},
		{syscall.ECONNREFUSED, proxy.Refused},
		{syscall.ENETUNREACH, proxy.NetworkUnreachable},
		{syscall.EHOSTUNREACH, proxy.HostUnreachable},
		{syscall.ETIMEDOUT, proxy.TimedOut},
		{context.DeadlineExceeded, proxy.TimedOut},
		{syscall.ECONNRESET, proxy.Failed},
		{errors.New("x"), proxy.Failed},
	} {
		if got := resultOf(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
		if c.err == nil {
			continue
		}
		if got := resultOf(fmt.Errorf("deep: %w", &net.OpError{Op: "dial", Err: c.err})); got != c.want {
			t.Errorf("%v, wrapped: %v, want %v", c.err, got, c.want)
		}
	}
}
