package sim

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/stack/stacktest"
	"github.com/wskstack/wskstack/test/covers"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

// script is a server made by hand that ends the connection at one exact point.
type script struct {
	n    *stacktest.Net
	peer *stacktest.Peer

	accepts int  // bytes of the SYN's data that are acknowledged with it
	sends   int  // bytes of answer, before the end
	end     int  // the end comes when so many bytes of the client's have come
	reset   bool // it ends with a RST, not with a FIN
	refuse  bool // the RST answers the SYN
	// window is what is offered with the next segment; nil: plenty.
	window func() uint16

	syn    seg.Segment
	sndNxt seqnum.Value
	rcvNxt seqnum.Value
	ended  bool
	got    []byte
}

const scriptIRS = seqnum.Value(0xfffffff0)

// scriptMSS makes small segments, so that there are many points to end at.
const scriptMSS = 88

func (s *script) send(flags seg.Flags, options, payload []byte) {
	window := uint16(8000)
	if s.window != nil {
		window = s.window()
	}
	s.peer.Send(seg.Make(seg.Fields{Src: s.syn.Dst(), Dst: s.syn.Src(), Seq: s.sndNxt, Ack: s.rcvNxt,
		Flags: flags | seg.ACK, Window: window, Options: options, Payload: payload}))
	s.sndNxt = s.sndNxt.Add(seqnum.Size(len(payload)))
	if flags&(seg.SYN|seg.FIN) != 0 {
		s.sndNxt++
	}
}

// play answers until nothing more comes.
func (s *script) play() {
	for {
		in, err := s.peer.Receive(20 * time.Second)
		if err != nil {
			return
		}
		s.take(in)
	}
}

func (s *script) take(in seg.Segment) {
	switch f := in.Flags(); {
	case f.Has(seg.RST):
	case f.Has(seg.SYN):
		s.open(in)
	case s.ended && s.reset:
		s.peer.Send(seg.Make(seg.Fields{Src: in.Dst(), Dst: in.Src(), Seq: in.Ack(), Flags: seg.RST}))
	default:
		s.data(in)
	}
}

func (s *script) open(in seg.Segment) {
	s.syn, s.sndNxt = in, scriptIRS
	if s.refuse {
		s.peer.Send(seg.Make(seg.Fields{Src: in.Dst(), Dst: in.Src(), Ack: in.End(), Flags: seg.RST | seg.ACK}))
		return
	}
	take := min(s.accepts, len(in.Payload()))
	s.got = append(s.got[:0], in.Payload()[:take]...)
	s.rcvNxt = in.Seq().Add(seqnum.Size(1 + take))
	s.send(seg.SYN, []byte{seg.OptMSS, 4, 0, scriptMSS}, nil)
	s.maybeEnd()
}

func (s *script) data(in seg.Segment) {
	if in.Len() == 0 {
		return
	}
	if in.Seq() == s.rcvNxt {
		s.keep(in)
	}
	s.send(0, nil, nil)
	s.maybeEnd()
}

// keep takes a segment's data, but nothing beyond the end before that has come.
func (s *script) keep(in seg.Segment) {
	p, left := in.Payload(), s.end-len(s.got)
	if s.ended || left >= len(p) {
		s.got, s.rcvNxt = append(s.got, p...), in.End()
		return
	}
	s.got = append(s.got, p[:left]...)
	s.rcvNxt = s.rcvNxt.Add(seqnum.Size(left))
}

// maybeEnd answers and ends when it is time.
func (s *script) maybeEnd() {
	if s.ended || len(s.got) < s.end {
		return
	}
	s.ended = true
	if s.sends > 0 {
		s.send(seg.PSH, nil, pattern(s.sends))
	}
	if s.reset {
		s.send(seg.RST, nil, nil)
		return
	}
	s.send(seg.FIN, nil, nil)
}

// try runs the client against the script: connect with payload, write more, read to
// the end, close. Each call returns once, with what fits.
func (s *script) try(t *testing.T, name string) {
	const offered, more = 100, 100
	stacktest.Run(t, stacktest.Config{Seed: 22, Dir: *dir, Replay: "go test ./test/sim -run '^TestRow22EveryPoint$'"},
		func(n *stacktest.Net) {
			defer func() {
				if n.T().Failed() {
					n.T().Log(name)
				}
			}()
			line := stacktest.Both(stacktest.Path{Delay: 10 * time.Millisecond})
			client := n.Host("client", line, hostConfig(client4))
			s.n, s.peer = n, n.Peer("peer", stacktest.LineConfig{}, server4)
			played := n.Go(s.play)
			payload := pattern(offered + more)
			c, err := client.Dial(addrOf4(), stack.ConnectOptions{Data: payload[:offered], FastOpen: fastopen.ModeCookieless})
			switch {
			case err != nil:
				s.refusal(n.T(), err)
			default:
				s.talk(n.T(), c, payload[offered:])
			}
			played()
			if want := string(payload); len(s.got) > len(want) || want[:len(s.got)] != string(s.got) {
				n.T().Errorf("the peer got %d bytes that are not the stream's first", len(s.got))
			}
			n.Sleep(idle)
			for _, left := range client.Leftovers() {
				n.T().Error(left)
			}
		})
}

// refusal is the error of a connect: it has to fit the script.
func (s *script) refusal(t *testing.T, err error) {
	switch {
	case s.refuse && errors.Is(err, syscall.ECONNREFUSED):
	case s.reset && isReset(err):
	default:
		t.Errorf("connect says %v", err)
	}
}

func (s *script) talk(t *testing.T, c *stacktest.Conn, more []byte) {
	if s.refuse {
		t.Error("connected, although it was refused")
	}
	_, err := c.Write(more)
	var got []byte
	if err == nil || !s.reset {
		got, err = read(c)
	}
	switch {
	case s.reset && !isReset(err) && !errors.Is(err, syscall.EPIPE):
		t.Errorf("after a reset the connection says %v", err)
	case !s.reset && err != nil:
		t.Errorf("before the FIN: %v", err)
	case !s.reset && len(got) != s.sends, len(got) > s.sends:
		t.Errorf("read %d bytes of %d", len(got), s.sends)
	}
	_ = c.Close()
}

// Row 22: the peer closes or resets at every byte of a conversation.
func TestRow22EveryPoint(t *testing.T) {
	covers.IDs(t, "P1", "P2", "P4", "C-31", "C-48", "C-49")
	(&script{refuse: true}).try(t, "refused")
	for _, accepts := range []int{0, 1, 50, 99, 100} {
		for _, sends := range []int{0, 1, 40} {
			for _, reset := range []bool{false, true} {
				for end := range 201 {
					s := &script{accepts: accepts, sends: sends, end: end, reset: reset}
					s.try(t, fmt.Sprintf("accepts %d, sends %d, reset %v, end after %d", accepts, sends, reset, end))
				}
			}
		}
	}
}
