package sim

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/stack/stacktest"
	"github.com/wskstack/wskstack/test/covers"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

// moment is when a client made by hand ends its connection.
type moment uint8

const (
	behindSYN moment = iota // before the SYN-ACK can have come
	asAnswer                // in place of the ACK to it
	afterACK
	afterData
	moments
)

func (m moment) String() string {
	return [...]string{"behind the SYN", "in place of the ACK", "after the ACK", "after the data"}[m]
}

// ending is such a client: so many bytes in its SYN, so many in all, and the end.
type ending struct {
	inSYN, all int
	at         moment
	reset      bool

	n      *stacktest.Net
	peer   *stacktest.Peer
	sndNxt seqnum.Value
	rcvNxt seqnum.Value
}

const endingISS = seqnum.Value(0xffffffe0)

var endingFrom = netip.AddrPortFrom(client4, 5000)

func (e *ending) String() string {
	return fmt.Sprintf("%d bytes in the SYN, %d in all, reset %v %v", e.inSYN, e.all, e.reset, e.at)
}

func (e *ending) send(flags seg.Flags, payload []byte) {
	f := seg.Fields{Src: endingFrom, Dst: addrOf4(), Seq: e.sndNxt, Ack: e.rcvNxt, Flags: flags, Window: 8000, Payload: payload}
	if flags.Has(seg.SYN) {
		f.Options = []byte{seg.OptMSS, 4, 5, 180}
	}
	e.peer.Send(seg.Make(f))
	e.sndNxt = e.sndNxt.Add(seqnum.Size(len(payload)))
	if flags&(seg.SYN|seg.FIN) != 0 {
		e.sndNxt++
	}
}

func (e *ending) end() {
	if e.reset {
		e.send(seg.RST, nil)
		return
	}
	e.send(seg.FIN|seg.ACK, nil)
}

// play goes up to the end, and then acknowledges what still comes.
func (e *ending) play() {
	stream := pattern(e.all)
	e.sndNxt = endingISS
	e.send(seg.SYN, stream[:e.inSYN])
	if e.at == behindSYN {
		e.end()
	} else if !e.answered() {
		return
	}
	switch e.at {
	case asAnswer:
		e.end()
	case afterACK:
		e.send(seg.ACK, nil)
		e.end()
	case afterData:
		e.send(seg.ACK, nil)
		if e.all > e.inSYN {
			e.send(seg.ACK|seg.PSH, stream[e.inSYN:])
		}
		e.end()
	case behindSYN, moments:
	}
	for {
		in, err := e.peer.Receive(20 * time.Second)
		if err != nil {
			return
		}
		if !e.reset && in.Seq() == e.rcvNxt && in.Len() > 0 {
			e.rcvNxt = in.End()
			e.send(seg.ACK, nil)
		}
	}
}

// answered waits for the SYN-ACK, which has to cover the data.
func (e *ending) answered() bool {
	in, err := e.peer.Receive(5 * time.Second)
	if err != nil || !in.Flags().Has(seg.SYN|seg.ACK) || in.Ack() != e.sndNxt {
		e.n.T().Errorf("the SYN is answered by %v ack %d, %v", in.Flags(), int32(in.Ack()-endingISS), err)
		return false
	}
	e.rcvNxt = in.Seq().Add(1)
	return true
}

// try runs the client against a listener with Fast Open.
func (e *ending) try(t *testing.T) {
	stacktest.Run(t, stacktest.Config{Seed: 22, Dir: *dir, Replay: "go test ./test/sim -run '^TestRow22EveryPointOfTheClient$'"},
		func(n *stacktest.Net) {
			defer func() {
				if n.T().Failed() {
					n.T().Log(e)
				}
			}()
			server := n.Host("server", stacktest.Both(stacktest.Path{Delay: 10 * time.Millisecond}), hostConfig(server4))
			e.n, e.peer = n, n.Peer("client", stacktest.LineConfig{}, client4)
			l, err := server.Listen(addrOf4(), 16, &fastopen.ListenConfig{Cookieless: true})
			if err != nil {
				n.T().Fatal(err)
			}
			l.SetLimit(idle)
			var arrivals []*arrival
			served := n.Go(func() {
				for c, err := l.Accept(); err == nil; c, err = l.Accept() {
					a := &arrival{}
					arrivals = append(arrivals, a)
					if a.got, a.err = read(c); a.err == nil {
						_, a.err = c.Write(pattern(40))
					}
					_ = c.Close()
				}
			})
			e.play()
			if early := e.reset && e.at <= asAnswer; early != (l.Fast().Stats().Held == 1) {
				n.T().Errorf("%d places are held", l.Fast().Stats().Held)
			}
			served()
			e.check(n.T(), arrivals)
			if s := l.Fast().Stats(); s.Pending != 0 || s.Held != 0 {
				n.T().Errorf("%d are pending, %d held", s.Pending, s.Held)
			}
			_ = l.Close()
			n.Settle()
			for _, left := range server.Leftovers() {
				n.T().Error(left)
			}
		})
}

func (e *ending) check(t *testing.T, arrivals []*arrival) {
	if len(arrivals) > 1 || len(arrivals) == 0 && !e.reset && e.at != behindSYN {
		t.Errorf("%d connections were accepted", len(arrivals))
	}
	sent := pattern(e.all)
	for _, a := range arrivals {
		switch {
		case !bytes.HasPrefix(sent, a.got):
			t.Errorf("the server got %s", difference(a.got, sent))
		case e.reset && a.err == nil:
			t.Error("the server was not told of the reset")
		case !e.reset && e.at != behindSYN && (a.err != nil || len(a.got) != len(sent)):
			t.Errorf("the server got %s, %v", difference(a.got, sent), a.err)
		}
	}
}

// Row 22, the other way round: a client closes or resets in every state and at every
// byte.
func TestRow22EveryPointOfTheClient(t *testing.T) {
	covers.IDs(t, "P1", "P2", "P4", "S-35", "S-36", "S-40", "H-25")
	for _, inSYN := range []int{1, 50, 100} {
		for at := range moments {
			for _, reset := range []bool{false, true} {
				all := inSYN
				if at == afterData {
					all = inSYN + 100
				}
				for n := inSYN; n <= all; n++ {
					(&ending{inSYN: inSYN, all: n, at: at, reset: reset}).try(t)
				}
			}
		}
	}
}
