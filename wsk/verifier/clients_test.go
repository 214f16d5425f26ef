package verifier_test

import (
	"context"
	"syscall"
	"testing/synctest"
	"time"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/verifier"
)

// The clients of the suite that are longer than a line or two.

// slow makes calls wait for a second between their beginning and their work.
func slow() verifier.Config {
	return verifier.Config{Faults: verifier.Faults{Seed: 1, Delay: true, Pause: func(int) { time.Sleep(time.Second) }}}
}

// ended is a context that has ended.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// together runs two calls at the same time, or one after the other.
func together(oneAfterTheOther bool, first, second func()) {
	over := make(chan struct{})
	go func() { defer close(over); first() }()
	time.Sleep(time.Second / 2)
	if oneAfterTheOther {
		<-over
	}
	second()
	<-over
}

func (b *bed) closeDuringSend(orderly bool) {
	s, _ := b.connected(nil)
	together(orderly, func() {
		b.start(func(i *irp.IRP) ntstatus.Status { return s.Send(wsk.NewBuf([]byte("x")), 0, i) })
	}, func() { b.close(s) })
}

func (b *bed) twoAccepts(orderly bool) {
	l, _ := b.listening(nil)
	accept := func() {
		b.start(func(i *irp.IRP) ntstatus.Status { return l.Accept(0, nil, nil, nil, nil, i) })
	}
	together(orderly, accept, accept)
	b.close(l)
}

// retaining has a client that retains an indication, does something with it later, and
// closes.
func (b *bed) retaining(later func(s *wsk.ConnectionSocket, list *wsk.DataIndication)) {
	var kept *wsk.DataIndication
	s, peer := b.connected(receive(func(list *wsk.DataIndication, _ uint64, _ *uint64) ntstatus.Status {
		kept = list
		return ntstatus.Pending
	}))
	b.events(s, wsk.EventReceive)
	peer.Deliver([]byte("data"))
	synctest.Wait()
	later(s, kept)
	b.close(s)
}

// changeTable has a client whose table is another one between two callbacks, or not.
func (b *bed) changeTable(change bool) {
	take := func(*wsk.DataIndication, uint64, *uint64) ntstatus.Status { return ntstatus.Success }
	table := receive(take)
	s, peer := b.connected(table)
	b.events(s, wsk.EventReceive)
	peer.Deliver([]byte("data"))
	synctest.Wait()
	if change {
		table.ReceiveEvent = func(any, uint32, *wsk.DataIndication, uint64, *uint64) ntstatus.Status { return ntstatus.Success }
	}
	peer.Deliver([]byte("data"))
	synctest.Wait()
	b.close(s)
}

// withdrawn has a client whose socket dies, which does something then.
func (b *bed) withdrawn(then func(s *wsk.ConnectionSocket)) {
	s, _ := b.connected(receive(nil))
	b.events(s, wsk.EventReceive)
	b.p.Stop()
	synctest.Wait()
	then(s)
}

// usesBuffer has a client that writes to a receive buffer while it is pended, or after.
func (b *bed) usesBuffer(early bool) {
	s, peer := b.connected(nil)
	buf := make([]byte, 8)
	b.start(func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(buf), 0, i) })
	if early {
		buf[0] = '!'
	}
	peer.Deliver([]byte("12345678"))
	synctest.Wait()
	if string(buf) != "12345678" {
		b.t.Errorf("received %q", buf)
	}
	buf[0] = '!'
	b.close(s)
}

// changesSend has a client that writes to a send buffer while it is pended, or after.
func (b *bed) changesSend(early bool) {
	s, peer := b.connected(nil)
	buf := []byte("12345678")
	b.start(func(i *irp.IRP) ntstatus.Status { return s.Send(wsk.NewBuf(buf), 0, i) })
	synctest.Wait()
	if early {
		buf[0] = '!'
	}
	peer.AckAll()
	synctest.Wait()
	buf[0] = '!'
	b.close(s)
}

// indicated has a client that does something inside its callback, and something with
// the memory afterwards.
func (b *bed) indicated(inside func(list *wsk.DataIndication), after func(kept []byte)) {
	var kept []byte
	s, peer := b.connected(receive(func(list *wsk.DataIndication, _ uint64, _ *uint64) ntstatus.Status {
		kept = list.Buffer.MDL.Data
		if inside != nil {
			inside(list)
		}
		return ntstatus.Success
	}))
	b.events(s, wsk.EventReceive)
	peer.Deliver([]byte("data"))
	synctest.Wait()
	if after != nil {
		after(kept)
	}
	b.close(s)
}

// releasedDatagram has a client that keeps datagrams, releases them, and writes to one,
// before or after.
func (b *bed) releasedDatagram(late bool) {
	var kept *wsk.DatagramIndication
	s, box := b.post(&wsk.ClientDatagramDispatch{ReceiveFromEvent: func(_ any, _ uint32, list *wsk.DatagramIndication) ntstatus.Status {
		kept = list
		return ntstatus.Pending
	}})
	b.events(s, wsk.EventReceiveFrom)
	box.Deliver(far, here, "data")
	synctest.Wait()
	data := kept.Buffer.MDL.Data
	if string(data) != "data" {
		b.t.Errorf("received %q", data)
	}
	if !late {
		data[0] = '!'
	}
	s.Release(kept)
	if late {
		data[0] = '!'
	}
	b.close(s)
}

// answers has a client whose callback answers status, and counts delta bytes more than
// there were.
func (b *bed) answers(status ntstatus.Status, delta int) {
	var kept *wsk.DataIndication
	s, peer := b.connected(receive(func(list *wsk.DataIndication, n uint64, accepted *uint64) ntstatus.Status {
		kept, *accepted = list, uint64(int(n)+delta)
		return status
	}))
	b.events(s, wsk.EventReceive)
	peer.Deliver([]byte("data"))
	synctest.Wait()
	if status == ntstatus.Pending {
		s.Release(kept)
	}
	b.close(s)
}

// inspected has a client with a conditional listener that answers a request.
func (b *bed) inspected(action wsk.InspectAction) {
	b.t.Helper()
	asked := 0
	l := b.create(wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagListenSocket, &wsk.ClientListenDispatch{
		InspectEvent: func(any, *wsk.SockAddr, *wsk.SockAddr, *wsk.InspectID) wsk.InspectAction { asked++; return action },
	}).(*wsk.ListenSocket)
	news, decided := []wsk.Request{{ID: 1, Local: server.AddrPort(), Remote: far}}, false
	tr := b.peer().Transport
	tr.SetInspectFunc = func(bool) error { return nil }
	tr.DecideFunc = func(wsk.RequestID, bool) error { decided = true; return nil }
	tr.NextRequestFunc = func() (wsk.Request, error) {
		if len(news) == 0 {
			return wsk.Request{}, syscall.EAGAIN
		}
		q := news[0]
		news = news[1:]
		return q, nil
	}
	b.do(func(i *irp.IRP) ntstatus.Status {
		return l.ControlSocket(wsk.SetOption, wsk.SO_CONDITIONAL_ACCEPT, wsk.SOL_SOCKET, []byte{1, 0, 0, 0}, nil, nil, i)
	})
	b.do(func(i *irp.IRP) ntstatus.Status { return l.Bind(&server, 0, i) })
	tr.Wake()
	synctest.Wait()
	if asked != 1 || !decided {
		b.t.Errorf("asked %d times, decided %v", asked, decided)
	}
	b.close(l)
}

// resolve makes an address list.
func (b *bed) resolve() *wsk.AddrInfo {
	var list *wsk.AddrInfo
	b.do(func(i *irp.IRP) ntstatus.Status {
		return b.npi.Dispatch.GetAddressInfo(b.npi.Client, "192.0.2.1", "80", nil, &list, i)
	})
	return list
}

// chain has a client whose routine asks again, n times in all; with inline completion
// each runs inside the one before.
func (b *bed) chain(n int) {
	s := b.bound(nil)
	var next func()
	next = func() {
		if n--; n >= 0 {
			b.v.NewIRP(nil, nil).Free() // calls of other kinds do not count
			s.GetLocalAddress(new(wsk.SockAddr), irp.New(func(*irp.IRP, any) { next() }, nil))
		}
	}
	next()
	synctest.Wait()
	b.close(s)
}
