package stack_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/capture"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/seg"
)

// shot is a packet of a capture.
type shot struct {
	seg.Segment
	out      bool
	comments string
}

func shots(t *testing.T, file []byte) (all []shot) {
	t.Helper()
	r, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	var last time.Time
	for {
		b, ci, opts, err := r.ReadPacketDataWithOptions()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if ci.Timestamp.Before(last) {
			t.Errorf("the time goes back from %v to %v", last, ci.Timestamp)
		}
		last = ci.Timestamp
		s, err := seg.Parse(bytes.Clone(b))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, shot{s, opts.Flags.Direction == pcapgo.NgEpbFlagDirectionOutbound, strings.Join(opts.Comments, "\n")})
	}
}

// captured records what the stack does in f.
func captured(t *testing.T, s *stack.Stack, f func()) []shot {
	t.Helper()
	var file bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	wait, err := s.CapturePcap(ctx, &file)
	if err != nil {
		t.Fatal(err)
	}
	f()
	cancel()
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	return shots(t, file.Bytes())
}

// find looks for a packet with these control bits and direction, and payload or none.
func find(t *testing.T, all []shot, out bool, f seg.Flags, payload bool) shot {
	t.Helper()
	for _, s := range all {
		if s.out == out && s.Flags()&^seg.PSH == f && (len(s.Payload()) > 0) == payload {
			return s
		}
	}
	for _, s := range all {
		t.Logf("out %v, %v, %d bytes: %s", s.out, s.Flags(), len(s.Payload()), s.comments)
	}
	t.Fatalf("no packet %v", f)
	return shot{}
}

func says(t *testing.T, s shot, want string) {
	t.Helper()
	if !strings.Contains(s.comments, want) {
		t.Errorf("%v with %d bytes says %q, want %q", s.Flags(), len(s.Payload()), s.comments, want)
	}
}

// TestCapturePcap has the first contact and a connection with data in its SYN, seen from
// both ends.
func TestCapturePcap(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	lc := stack.ListenConfig{Stack: b, FastOpen: &fastopen.ListenConfig{}}
	l, err := lc.Listen(t.Context(), "tcp", "10.0.0.2:80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	data := []byte("seventeen bytes..")
	var atServer []shot
	exchange := func() {
		c, err := a.DialContextData(t.Context(), "tcp", "10.0.0.2:80", data)
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(data))
		if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%q, %v", got, err)
		}
		if _, err := s.Write([]byte("answer")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, got[:6]); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("more")); err != nil { // a packet after all that was kept back
			t.Fatal(err)
		}
		if _, err := io.ReadFull(s, got[:4]); err != nil {
			t.Fatal(err)
		}
		s.Close()
		c.Close()
	}
	first := captured(t, a, exchange)
	says(t, find(t, first, true, seg.SYN, false), "Fast Open: option added (asks for a cookie)")

	second := captured(t, a, func() { atServer = captured(t, b, exchange) })
	says(t, find(t, second, true, seg.SYN, true), "Fast Open: option added (cookie of 8 bytes); 17 bytes of data put in")
	says(t, find(t, second, false, seg.SYN|seg.ACK, false), "Fast Open: netstack is shown it changed: ack lowered by 17")
	var all strings.Builder
	for _, s := range second {
		all.WriteString(s.comments + "\n")
	}
	// Taken off a segment that was sent, or kept back with it.
	if !strings.Contains(all.String(), "its 17 bytes of data taken off") && !strings.Contains(all.String(), "with 17 bytes was kept off the wire") {
		t.Errorf("nobody says that the 17 bytes were not sent again:\n%s", all.String())
	}
	says(t, find(t, atServer, true, seg.SYN|seg.ACK, false), "Fast Open: made here")
	says(t, find(t, atServer, true, seg.SYN|seg.ACK, false), "netstack was given a made PA with 17 bytes")

	var c *stack.Endpoint
	off := captured(t, a, func() {
		var s *stack.Endpoint
		c, s = join(t, a, b, stack.ConnectOptions{FastOpen: fastopen.ModeOff})
		write(t, c, data)
		mustRead(t, s, data)
	})
	packets := 0
	for _, s := range off {
		if s.Src() != c.LocalAddr() && s.Dst() != c.LocalAddr() {
			continue // the end of the connection before
		}
		packets++
		if s.comments != "" {
			t.Errorf("without Fast Open %v says %q", s.Flags(), s.comments)
		}
	}
	if packets < 4 {
		t.Errorf("%d packets", packets)
	}
}

func TestCapturePcapRefuses(t *testing.T) {
	var told int
	a, _ := pair(t, stack.Config{FastOpen: fastopen.Config{OnStep: func(fastopen.Step) { told++ }}}, stack.Config{})
	wait, err := a.CapturePcap(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.CapturePcap(t.Context(), io.Discard); !errors.Is(err, capture.ErrRunning) {
		t.Errorf("a second one: %v", err)
	}
	e := endpoint(t, a, "tcp4")
	if err := e.Connect(rigPeer, stack.ConnectOptions{Data: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if err := connected(t, e); err == nil {
		t.Error("nobody listens, and it connected")
	}
	if told == 0 {
		t.Error("the user's own OnStep was not called")
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := wait(); err != nil {
		t.Errorf("ended by Close: %v", err)
	}
	if _, err := a.CapturePcap(t.Context(), io.Discard); !errors.Is(err, net.ErrClosed) {
		t.Errorf("on a closed stack: %v", err)
	}
}

// TestCapturePcapUnderWay begins and ends captures at any moment of many connections'
// lives: each file is whole, its stamps do not go back, and the connections see nothing
// of it.
func TestCapturePcapUnderWay(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	lc := stack.ListenConfig{Stack: b, FastOpen: &fastopen.ListenConfig{}}
	l, err := lc.Listen(t.Context(), "tcp", "10.0.0.2:80")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer l.Close()
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				_, _ = io.Copy(c, c)
				c.Close()
			})
		}
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		var clients sync.WaitGroup
		defer clients.Wait()
		for range 8 {
			clients.Go(func() {
				data, got := pattern(3000), make([]byte, 3000)
				for range 20 {
					c, err := a.DialContextData(t.Context(), "tcp", "10.0.0.2:80", data)
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, data) {
						t.Errorf("the echo is another: %v", err)
					}
					c.Close()
				}
			})
		}
	}()
	packets, comments := 0, 0
	for running := true; running; {
		for _, s := range []*stack.Stack{a, b} {
			for _, p := range captured(t, s, func() {
				for range 20 {
					runtime.Gosched()
				}
				select {
				case <-done:
					running = false
				default:
				}
			}) {
				packets++
				if p.comments != "" {
					comments++
				}
			}
		}
	}
	if packets == 0 || comments == 0 {
		t.Errorf("%d packets with %d comments", packets, comments)
	}
}
