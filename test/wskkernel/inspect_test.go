package wskkernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/covers"
	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/await"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// decisions are the ways to decide about a connection request: what InspectEvent
// answers, and, if that is InspectPend, what InspectComplete is told.
var decisions = map[string][]wsk.InspectAction{
	"accept":          {wsk.InspectAccept},
	"reject":          {wsk.InspectReject},
	"pend and accept": {wsk.InspectPend, wsk.InspectAccept},
	"pend and reject": {wsk.InspectPend, wsk.InspectReject},
}

// TestConditionalAccept has the kernel connect to a socket that is asked first: before
// the answer there is no SYN-ACK, an accepted request is a connection, and a rejected
// one is refused.
func TestConditionalAccept(t *testing.T) {
	covers.IDs(t, "P2")
	for _, family := range []int{4, 6} {
		r := newRig(t, family)
		for mode, completion := range modes {
			for name, answers := range decisions {
				t.Run(fmt.Sprintf("IPv%d/%s/%s", family, mode, name), func(t *testing.T) {
					r.record.Reset()
					r.register(t, completion, wsk.FlagListenSocket).conditional(answers)
				})
			}
		}
	}
}

// request is a connection request as InspectEvent was told of it.
type request struct {
	id      wsk.InspectID
	from    wsk.SockAddr
	synAcks int // SYN-ACKs on the wire so far
}

// conditional lives through one connection request.
func (c *client) conditional(answers []wsk.InspectAction) {
	c.t.Helper()
	requests := make(chan request, 1)
	table := &wsk.ClientListenDispatch{InspectEvent: func(_ any, _, remote *wsk.SockAddr, id *wsk.InspectID) wsk.InspectAction {
		requests <- request{*id, *remote, c.synAcks()}
		return answers[0]
	}}
	l := must(c, await.Socket[*wsk.ListenSocket](c.npi, addressFamily[c.family], wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagListenSocket, nil, table))
	defer func() { must(c, await.CloseSocket(l)) }()
	must(c, await.SetOption(l, wsk.SOL_SOCKET, wsk.SO_CONDITIONAL_ACCEPT, 1))
	must(c, await.Bind(l, wsk.SockAddrFrom(netip.AddrPortFrom(c.wire.StackAddr(c.family), 0))))
	accept := await.Accept(l, nil, nil).Async()
	defer accept.Cancel()

	peer := c.dial(must(c, await.GetLocalAddress(l)).AddrPort())
	var q request
	select {
	case q = <-requests:
	case <-time.After(patience):
		c.t.Fatal("nobody was asked")
	}
	if q.synAcks != 0 || q.from.AddrPort().Addr() != c.wire.PeerAddr(c.family) {
		c.t.Errorf("a request from %v, with %d SYN-ACKs already sent", q.from, q.synAcks)
	}
	if len(answers) > 1 {
		must(c, await.InspectComplete(l, q.id, answers[1]))
	}
	reached := <-peer
	if answers[len(answers)-1] == wsk.InspectReject {
		if !errors.Is(reached.err, syscall.ECONNREFUSED) || c.synAcks() != 0 {
			c.t.Errorf("the kernel's connect: %v, with %d SYN-ACKs; want refused, with none", reached.err, c.synAcks())
		}
		if result := accept.Cancel(); result.Status != ntstatus.Cancelled {
			c.t.Errorf("the accept: %v", result.Status)
		}
		return
	}
	if reached.err != nil {
		c.t.Fatalf("the kernel's connect: %v", reached.err)
	}
	defer reached.Close()
	c.serve(accept, q.id, reached.Conn)
}

// serve has an accepted connection carry something, and tell whose request it was.
func (c *client) serve(accept *await.Pending[*wsk.ConnectionSocket], id wsk.InspectID, peer kernelpeer.Conn) {
	c.t.Helper()
	s, err := accept.Await(patience).Get()
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { must(c, await.CloseSocket(s)) }()
	own := make([]byte, len(id.Bytes()))
	if st := s.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_QUERY_INSPECT_ID, 0, nil, own, nil, nil); st != ntstatus.Success || !slices.Equal(own, id.Bytes()) {
		c.t.Errorf("it came from request % x (%v), want % x", own, st, id.Bytes())
	}
	send := await.Disconnect(s, []byte("welcome"), 0).Async()
	if got, err := io.ReadAll(peer); err != nil || string(got) != "welcome" {
		c.t.Errorf("the kernel received %q: %v", got, err)
	}
	if _, err := send.Await(patience).Get(); err != nil {
		c.t.Error(err)
	}
}

var addressFamily = map[int]uint16{4: wsk.AF_INET, 6: wsk.AF_INET6}

// must is a verb that has to succeed.
func must[T any](c *client, v await.Verb[T]) T {
	c.t.Helper()
	value, err := v.Sync(patience).Get()
	if err != nil {
		c.t.Fatal(err)
	}
	return value
}

// dialled is how a connect of the kernel's has ended.
type dialled struct {
	kernelpeer.Conn
	err error
}

// dial has the kernel connect, meanwhile.
func (c *client) dial(to netip.AddrPort) <-chan dialled {
	over := make(chan dialled, 1)
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	go func() {
		defer cancel()
		conn, err := kernelpeer.Dial(ctx, c.wire.Namespace, kernelpeer.ClientConfig{Remote: to})
		over <- dialled{conn, err}
	}()
	return over
}

// synAcks counts the SYN-ACKs of ours on the wire.
func (c *client) synAcks() int {
	n := 0
	for _, s := range c.ours() {
		if s.Flags().Has(seg.SYN | seg.ACK) {
			n++
		}
	}
	return n
}
