package verifier_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/verifier"
	"github.com/wskstack/wskstack/wsk/wsktest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	wildcard = wsk.SockAddr{Family: wsk.AF_INET}
	server   = wsk.SockAddrFrom(netip.MustParseAddrPort("192.0.2.1:80"))
	far      = netip.MustParseAddrPort("192.0.2.9:4711")
	here     = netip.MustParseAddr("192.0.2.1")
)

// bed is a client of a provider that a verifier watches, in a bubble of synctest.
type bed struct {
	t     *testing.T
	v     *verifier.Verifier
	p     *wsk.Provider
	reg   *wsk.Registration
	npi   wsk.ProviderNPI
	peers []*wsktest.Peer
	boxes []*wsktest.Mailbox
}

// inBed runs f with a client and ends its registration afterwards, as far as f has not;
// it returns the verifier, finished.
func inBed(t *testing.T, cfg verifier.Config, f func(b *bed)) (v *verifier.Verifier) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if cfg.Now == nil {
			cfg.Now = time.Now
		}
		b := &bed{t: t, p: wsk.NewProvider(), reg: &wsk.Registration{}}
		var err error
		if b.v, err = verifier.New(cfg); err != nil {
			t.Fatal(err)
		}
		v = b.v
		network := wsktest.DatagramNetwork{Network: func(bool) (wsk.Transport, error) {
			b.peers = append(b.peers, wsktest.NewPeer())
			return b.peer().Transport, nil
		}, Datagrams: func(bool) (wsk.Datagram, error) {
			b.boxes = append(b.boxes, &wsktest.Mailbox{})
			return b.boxes[len(b.boxes)-1], nil
		}}
		if err := errors.Join(b.v.Attach(b.p), b.p.Start(b.v.Network(network))); err != nil {
			t.Fatal(err)
		}
		b.p.Register(&wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: wsk.Version1_0}}, b.reg)
		if st := b.reg.CaptureProviderNPI(wsk.NoWait, &b.npi); st != ntstatus.Success {
			t.Fatal(st)
		}
		f(b)
		synctest.Wait()
		b.end()
		b.v.Finish()
	})
	return v
}

// end is the orderly end; a bed that has ended already stays as it is.
func (b *bed) end() {
	if b.reg == nil {
		return
	}
	b.reg.ReleaseProviderNPI()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	if err := b.reg.DeregisterContext(ctx); err != nil {
		b.t.Log(err)
		b.p.Stop() // so that nothing of it is left
	}
	b.reg = nil
}

// giveUp is a deregistration that does not wait for what is captured.
func (b *bed) giveUp() {
	b.t.Helper()
	if b.reg.DeregisterContext(ended()) == nil {
		b.t.Error("the registration ended with its capture")
	}
}

func (b *bed) peer() *wsktest.Peer { return b.peers[len(b.peers)-1] }

// start submits a request with an IRP of its own that needs no end.
func (b *bed) start(submit func(i *irp.IRP) ntstatus.Status) *irp.IRP {
	i := irp.New(func(*irp.IRP, any) {}, nil)
	submit(i)
	return i
}

// do submits a request and waits for its end.
func (b *bed) do(submit func(i *irp.IRP) ntstatus.Status) irp.StatusBlock {
	b.t.Helper()
	done := make(chan struct{})
	i := irp.New(func(*irp.IRP, any) { close(done) }, nil)
	submit(i)
	<-done
	synctest.Wait()
	return i.IoStatus()
}

func (b *bed) create(kind uint16, protocol, flag uint32, table wsk.EventTable) any {
	b.t.Helper()
	result := b.do(func(i *irp.IRP) ntstatus.Status {
		return b.npi.Dispatch.Socket(b.npi.Client, wsk.AF_INET, kind, protocol, flag, nil, table, i)
	})
	if result.Status != ntstatus.Success {
		b.t.Fatalf("Socket: %v", result.Status)
	}
	return result.Object
}

// socket, bound and connected make a connection socket, as far.
func (b *bed) socket(table *wsk.ClientConnectionDispatch) *wsk.ConnectionSocket {
	b.t.Helper()
	var events wsk.EventTable
	if table != nil {
		events = table
	}
	return b.create(wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagConnectionSocket, events).(*wsk.ConnectionSocket)
}

func (b *bed) bound(table *wsk.ClientConnectionDispatch) *wsk.ConnectionSocket {
	b.t.Helper()
	s := b.socket(table)
	b.do(func(i *irp.IRP) ntstatus.Status { return s.Bind(&wildcard, 0, i) })
	return s
}

func (b *bed) connected(table *wsk.ClientConnectionDispatch) (*wsk.ConnectionSocket, *wsktest.Peer) {
	b.t.Helper()
	s := b.bound(table)
	b.start(func(i *irp.IRP) ntstatus.Status { return s.Connect(&server, 0, i) })
	b.peer().Accept()
	synctest.Wait()
	return s, b.peer()
}

// listening makes a listening socket on port 80.
func (b *bed) listening(table *wsk.ClientListenDispatch) (*wsk.ListenSocket, *wsktest.Peer) {
	b.t.Helper()
	var events wsk.EventTable
	if table != nil {
		events = table
	}
	s := b.create(wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagListenSocket, events).(*wsk.ListenSocket)
	b.do(func(i *irp.IRP) ntstatus.Status { return s.Bind(&server, 0, i) })
	return s, b.peer()
}

// post makes a bound datagram socket.
func (b *bed) post(table *wsk.ClientDatagramDispatch) (*wsk.DatagramSocket, *wsktest.Mailbox) {
	b.t.Helper()
	var events wsk.EventTable
	if table != nil {
		events = table
	}
	s := b.create(wsk.SOCK_DGRAM, wsk.IPPROTO_UDP, wsk.FlagDatagramSocket, events).(*wsk.DatagramSocket)
	b.do(func(i *irp.IRP) ntstatus.Status { return s.Bind(&wildcard, 0, i) })
	return s, b.boxes[len(b.boxes)-1]
}

type closer interface {
	CloseSocket(i *irp.IRP) ntstatus.Status
}

func (b *bed) close(s closer) {
	b.t.Helper()
	b.do(s.CloseSocket)
}

type controller interface {
	ControlSocket(what wsk.ControlType, code, level uint32, in, out []byte, returned *uint64, i *irp.IRP) ntstatus.Status
}

// events switches event callbacks, without an IRP.
func (b *bed) events(s controller, mask uint32) ntstatus.Status {
	in := wsk.EventCallbackControl{NpiID: wsk.NPI_WSK_INTERFACE_ID(), EventMask: mask}.Bytes()
	return s.ControlSocket(wsk.SetOption, wsk.SO_WSK_EVENT_CALLBACK, wsk.SOL_SOCKET, in, nil, nil, nil)
}

// after lets time pass and lets the verifier look.
func (b *bed) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
	b.v.Check()
}

// receive is a table of callbacks with this receive callback.
func receive(f func(list *wsk.DataIndication, indicated uint64, accepted *uint64) ntstatus.Status) *wsk.ClientConnectionDispatch {
	return &wsk.ClientConnectionDispatch{ReceiveEvent: func(_ any, _ uint32, list *wsk.DataIndication, n uint64, accepted *uint64) ntstatus.Status {
		if list == nil {
			return ntstatus.Success
		}
		return f(list, n, accepted)
	}}
}
