package await_test

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/await"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

// limit is how long a call of a test may take, in virtual time.
const limit = time.Minute

// client is a registered client of a provider on played peers.
type client struct {
	t       *testing.T
	npi     wsk.ProviderNPI
	mailbox *wsktest.Mailbox // of the datagram socket

	mu     sync.Mutex
	newest *wsktest.Peer // guarded by mu; of the newest transport
}

// peer is that of the newest transport.
func (c *client) peer() *wsktest.Peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.newest
}

func (c *client) transport(bool) (wsk.Transport, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.newest = wsktest.NewPeer()
	return c.newest.Transport, nil
}

// inEachMode runs a test in a bubble, once in each completion mode.
func inEachMode(t *testing.T, test func(t *testing.T, c *client)) {
	for name, mode := range map[string]wsk.CompletionMode{
		"later": wsk.CompleteLater, "inline": wsk.CompleteInline, "random": wsk.CompleteRandom,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &client{t: t, mailbox: &wsktest.Mailbox{}}
				p := wsktest.NewProvider(t)
				p.SetCompletionMode(mode, 7)
				p.SetResolver(names{})
				network := wsktest.DatagramNetwork{
					Network:   c.transport,
					Datagrams: func(bool) (wsk.Datagram, error) { return c.mailbox, nil },
				}
				if err := p.Start(network); err != nil {
					t.Fatal(err)
				}
				var reg wsk.Registration
				p.Register(&wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: wsk.Version1_0}}, &reg)
				reg.CaptureProviderNPI(wsk.NoWait, &c.npi)
				test(t, c)
				reg.ReleaseProviderNPI()
				reg.Deregister()
			})
		})
	}
}

// names resolves one name, and never answers for another.
type names struct{}

func (names) LookupHost(ctx context.Context, node string) ([]netip.Addr, string, error) {
	if node == "slow" {
		<-ctx.Done()
		return nil, "", ctx.Err()
	}
	return []netip.Addr{netip.MustParseAddr("192.0.2.7")}, "", nil
}

func (names) LookupService(context.Context, string, string) (uint16, error) { return 80, nil }

func (names) LookupAddr(context.Context, netip.Addr) (string, error) { return "seven.test.", nil }

// got is what a call that has to succeed gave.
func got[T any](t *testing.T, r await.Result[T]) T {
	t.Helper()
	v, err := r.Get()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func any4(port uint16) wsk.SockAddr { return wsk.SockAddr{Family: wsk.AF_INET, Port: port} }

func far() wsk.SockAddr { return wsk.SockAddrFrom(netip.MustParseAddrPort("192.0.2.1:9")) }

func connection(t *testing.T, c *client) *wsk.ConnectionSocket {
	t.Helper()
	s := got(t, await.Socket[*wsk.ConnectionSocket](c.npi, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagConnectionSocket, nil, nil).Sync(limit))
	got(t, await.Bind(s, any4(0)).Sync(limit))
	return s
}

// TestConnectionVerbs goes through a connection's life.
func TestConnectionVerbs(t *testing.T) {
	inEachMode(t, func(t *testing.T, c *client) {
		s := connection(t, c)
		got(t, await.SetOption(s, wsk.IPPROTO_TCP, wsk.TCP_FASTOPEN, 1).Sync(limit))
		if v := got(t, await.GetOption(s, wsk.IPPROTO_TCP, wsk.TCP_FASTOPEN).Sync(limit)); v != 1 {
			t.Errorf("TCP_FASTOPEN is %d", v)
		}
		open := await.ConnectEx(s, far(), []byte("first")).Async()
		if open.Returned() != ntstatus.Pending || open.IRP().State() != irp.Pending {
			t.Errorf("returned %v", open.Returned())
		}
		c.peer().Accept()
		c.peer().AckAll()
		<-open.Done()
		if n := got(t, open.Await(0)); n != 5 || string(c.peer().Received()) != "first" || !c.peer().Seen().Options.FastOpen {
			t.Errorf("%d bytes, %q arrived", n, c.peer().Received())
		}
		if a := got(t, await.GetRemoteAddress(s).Sync(limit)); a != far() {
			t.Errorf("remote address %v", a)
		}
		if a := got(t, await.GetLocalAddress(s).Sync(limit)); a.Port != wsktest.EphemeralPort {
			t.Errorf("local address %v", a)
		}

		send := await.Send(s, []byte("second"), 0).Async()
		synctest.Wait()
		c.peer().AckAll()
		if n := got(t, send.Await(limit)); n != 6 {
			t.Errorf("sent %d", n)
		}
		more := await.SendEx(s, []byte("more"), 0, nil).Async()
		synctest.Wait()
		c.peer().AckAll()
		if n := got(t, more.Await(limit)); n != 4 {
			t.Errorf("sent %d", n)
		}
		c.peer().Deliver([]byte("ex"))
		if b := got(t, await.ReceiveEx(s, 100, 0).Sync(limit)); string(b) != "ex" {
			t.Errorf("received %q", b)
		}
		c.peer().Deliver([]byte("answer"))
		if b := got(t, await.Receive(s, 100, 0).Sync(limit)); string(b) != "answer" {
			t.Errorf("received %q", b)
		}
		backlog := got(t, await.Ioctl(s, wsk.SIO_WSK_QUERY_RECEIVE_BACKLOG, nil, 8).Sync(limit))
		if !bytes.Equal(backlog, make([]byte, 8)) {
			t.Errorf("backlog % x", backlog)
		}
		bye := await.Disconnect(s, []byte("bye"), 0).Async()
		synctest.Wait()
		c.peer().AckAll()
		if n := got(t, bye.Await(limit)); n != 3 || !bytes.HasSuffix(c.peer().Received(), []byte("secondmorebye")) {
			t.Errorf("%d bytes with the disconnect, %q in all", n, c.peer().Received())
		}
		got(t, await.CloseSocket(s).Sync(limit))
	})
}

// TestLimitAndCancel is win-net-test's way to end a call: the limit shows as
// STATUS_TIMEOUT, the cancel as STATUS_CANCELLED, and what has arrived is not lost.
func TestLimitAndCancel(t *testing.T) {
	inEachMode(t, func(t *testing.T, c *client) {
		s := connection(t, c)
		slow := await.Connect(s, far()).Async()
		began := time.Now()
		if r := slow.Await(3 * time.Second); r.Status != ntstatus.Timeout {
			t.Errorf("a connect that nobody answers: %v", r.Status)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("it took %v", took)
		}
		if _, err := slow.Await(0).Get(); !errors.Is(err, ntstatus.Error(ntstatus.Timeout)) {
			t.Errorf("asked again: %v", err)
		}
		if r := await.ConnectEx(s, far(), nil).Async().Cancel(); r.Status != ntstatus.Cancelled {
			t.Errorf("a connect that is cancelled: %v", r.Status)
		}
		connect := await.Connect(s, far()).Async()
		synctest.Wait()
		c.peer().Accept()
		got(t, connect.Await(limit))

		part := await.Receive(s, 4, wsk.FlagWaitAll)
		c.peer().Deliver([]byte("ab"))
		if r := part.Sync(time.Second); r.Status != ntstatus.Timeout || string(r.Value) != "ab" {
			t.Errorf("%v with %q", r.Status, r.Value)
		}
		c.peer().Deliver([]byte("cd"))
		waiting := part.Async() // the same verb once more has a buffer of its own
		synctest.Wait()
		if r := waiting.Cancel(); r.Status != ntstatus.Cancelled || string(r.Value) != "cd" {
			t.Errorf("%v with %q", r.Status, r.Value)
		}
		if _, err := await.Receive(s, 1, 0).Sync(0).Get(); err == nil || !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("a receive without patience: %v", err)
		}

		// What ends before the call returns is read at once, and has nothing to cancel.
		refused := await.Bind(s, any4(0)).Async()
		if refused.Returned() != ntstatus.InvalidDeviceState {
			t.Errorf("bound twice: %v", refused.Returned())
		}
		if r := refused.Cancel(); r.Status != ntstatus.InvalidDeviceState {
			t.Errorf("cancelled when it was over: %v", r.Status)
		}
		got(t, await.CloseSocket(s).Sync(0)) // a limit does not end a close
	})
}

// TestOtherVerbs goes through listening, datagram and stream sockets, and names.
func TestOtherVerbs(t *testing.T) {
	inEachMode(t, func(t *testing.T, c *client) {
		l := got(t, await.Socket[*wsk.StreamSocket](c.npi, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagStreamSocket, nil, nil).Sync(limit))
		got(t, await.Bind(l, any4(80)).Sync(limit))
		got(t, await.Listen(l).Sync(limit))
		accept := await.Accept(l, nil, nil).Async()
		c.peer().Arrive(far().AddrPort())
		accepted := got(t, accept.Await(limit))
		got(t, await.CloseSocket(accepted).Sync(limit))
		if r := await.Accept(l, nil, nil).Sync(time.Second); r.Status != ntstatus.Timeout || r.Value != nil {
			t.Errorf("an accept of nobody: %v, %v", r.Status, r.Value)
		}
		got(t, await.CloseSocket(l).Sync(limit))

		connect := await.SocketConnect(c.npi, any4(0), far(), nil, nil).Async()
		synctest.Wait()
		c.peer().Accept()
		got(t, await.CloseSocket(got(t, connect.Await(limit))).Sync(limit))

		d := got(t, await.Socket[*wsk.DatagramSocket](c.npi, wsk.AF_INET, wsk.SOCK_DGRAM, wsk.IPPROTO_UDP, wsk.FlagDatagramSocket, nil, nil).Sync(limit))
		got(t, await.Bind(d, any4(53)).Sync(limit))
		to := far()
		if n := got(t, await.SendTo(d, []byte("ping"), &to, nil).Sync(limit)); n != 4 {
			t.Errorf("sent %d", n)
		}
		if n := got(t, await.SendMessages(d, [][]byte{[]byte("a"), []byte("bc")}, &to, nil).Sync(limit)); n != 3 {
			t.Errorf("sent %d", n)
		}
		if sent := c.mailbox.Sent(); len(sent) != 3 || sent[2].Data != "bc" {
			t.Errorf("sent %v", sent)
		}
		c.mailbox.Deliver(far().AddrPort(), netip.MustParseAddr("192.0.2.2"), "long pong")
		in := got(t, await.ReceiveFrom(d, 4, 0).Sync(limit))
		if string(in.Data) != "long" || in.RemoteAddress != far() || in.ControlFlags != wsk.MSG_TRUNC {
			t.Errorf("received %+v", in)
		}
		if r := await.ReceiveFrom(d, 4, 0).Sync(time.Second); r.Status != ntstatus.Timeout || r.Value.Data != nil {
			t.Errorf("a receive from nobody: %+v", r)
		}
		got(t, await.CloseSocket(d).Sync(limit))

		listening := got(t, await.Socket[*wsk.ListenSocket](c.npi, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagListenSocket, nil, nil).Sync(limit))
		if r := await.InspectComplete(listening, wsk.InspectID{Key: 1}, wsk.InspectPend).Sync(limit); r.Status != ntstatus.InvalidParameter {
			t.Errorf("decided to decide later: %v", r.Status)
		}
		got(t, await.CloseSocket(listening).Sync(limit))

		list := got(t, await.GetAddressInfo(c.npi, "seven", "80", nil).Sync(limit))
		if list.Addr.AddrPort() != netip.MustParseAddrPort("192.0.2.7:80") {
			t.Errorf("resolved %v", list.Addr)
		}
		c.npi.Dispatch.FreeAddressInfo(c.npi.Client, list)
		if r := await.GetAddressInfo(c.npi, "slow", "80", nil).Sync(time.Second); r.Status != ntstatus.Timeout || r.Value != nil {
			t.Errorf("a slow name: %v, %v", r.Status, r.Value)
		}
		if n := got(t, await.GetNameInfo(c.npi, far(), 0).Sync(limit)); n != (await.NameInfo{NodeName: "seven.test", ServiceName: "9"}) && n.ServiceName != "9" {
			t.Errorf("named %+v", n)
		}
		if r := await.TransportListChange(c.npi).Sync(time.Second); r.Status != ntstatus.Timeout {
			t.Errorf("the list has changed: %v", r.Status)
		}
	})
}
