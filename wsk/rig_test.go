package wsk_test

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/wsktest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// socket is what both categories have.
type socket interface {
	ControlSocket(what wsk.ControlType, code, level uint32, in, out []byte, returned *uint64, i *irp.IRP) ntstatus.Status
	CloseSocket(i *irp.IRP) ntstatus.Status
	Bind(a *wsk.SockAddr, flags uint32, i *irp.IRP) ntstatus.Status
	Connect(a *wsk.SockAddr, flags uint32, i *irp.IRP) ntstatus.Status
	ConnectEx(a *wsk.SockAddr, b *wsk.Buf, flags uint32, i *irp.IRP) ntstatus.Status
	GetLocalAddress(a *wsk.SockAddr, i *irp.IRP) ntstatus.Status
	GetRemoteAddress(a *wsk.SockAddr, i *irp.IRP) ntstatus.Status
	Send(b *wsk.Buf, flags uint32, i *irp.IRP) ntstatus.Status
	Receive(b *wsk.Buf, flags uint32, i *irp.IRP) ntstatus.Status
	Disconnect(b *wsk.Buf, flags uint32, i *irp.IRP) ntstatus.Status
	StateOf() wsk.State
	Working() bool
}

var (
	_ socket = (*wsk.ConnectionSocket)(nil)
	_ socket = (*wsk.StreamSocket)(nil)
)

// rig is a registered client of a provider over Peers.
type rig struct {
	t   *testing.T
	p   *wsk.Provider
	reg wsk.Registration
	npi wsk.ProviderNPI

	mu    sync.Mutex
	peers []*wsktest.Peer
	boxes []*wsktest.Mailbox
	ports uint16 // listening sockets so far
	raw   func(v6 bool, protocol uint8) (wsk.Datagram, error)
}

// bubble runs f with a rig inside a synctest bubble and deregisters afterwards:
// f must have closed its sockets.
func bubble(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		f(t, r)
		r.end()
	})
}

func newRig(t *testing.T) *rig {
	t.Helper()
	return newRigOn(t, wsktest.NewProvider(t))
}

// newRigOn is newRig with a provider that was not started.
func newRigOn(t *testing.T, p *wsk.Provider) *rig {
	t.Helper()
	r := &rig{t: t, p: p}
	err := r.p.Start(wsktest.DatagramNetwork{Own: []netip.Addr{netip.MustParseAddr("192.0.2.99")}, Raw: r.makeRaw, Datagrams: func(bool) (wsk.Datagram, error) {
		m := &wsktest.Mailbox{}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.boxes = append(r.boxes, m)
		return m, nil
	}, Network: func(bool) (wsk.Transport, error) {
		p := wsktest.NewPeer()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.peers = append(r.peers, p)
		return p.Transport, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	npi := wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: wsk.MakeVersion(1, 0)}}
	if st := r.p.Register(&npi, &r.reg); st != ntstatus.Success {
		t.Fatal(st)
	}
	if st := r.reg.CaptureProviderNPI(wsk.NoWait, &r.npi); st != ntstatus.Success {
		t.Fatal(st)
	}
	return r
}

func (r *rig) makeRaw(v6 bool, protocol uint8) (wsk.Datagram, error) {
	if r.raw == nil {
		return nil, syscall.EPROTONOSUPPORT
	}
	return r.raw(v6, protocol)
}

// end releases and deregisters; what is left over is named.
func (r *rig) end() {
	r.t.Helper()
	r.reg.ReleaseProviderNPI()
	synctest.Wait()
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("nothing may be left by now"))
	if err := r.reg.DeregisterContext(ctx); err != nil {
		r.t.Error(err)
	}
}

// peer returns the latest Peer.
func (r *rig) peer() *wsktest.Peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.peers[len(r.peers)-1]
}

// request is an IRP that knows how often it was completed.
type request struct {
	*irp.IRP
	mu      sync.Mutex
	count   int
	pending bool
	result  irp.StatusBlock
	then    func()
}

func newRequest() *request {
	q := &request{}
	q.IRP = irp.New(record, q)
	return q
}

// record is the completion routine of a request.
func record(i *irp.IRP, ctx any) {
	q := ctx.(*request)
	q.mu.Lock()
	q.count++
	q.pending, q.result = i.PendingReturned(), i.IoStatus()
	then := q.then
	q.mu.Unlock()
	if then != nil {
		then()
	}
}

func (q *request) snapshot() (int, bool, irp.StatusBlock) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count, q.pending, q.result
}

// inline checks a call that failed before it returned: completed once, with the
// status returned, not pending.
func (q *request) inline(t *testing.T, got, want ntstatus.Status) {
	t.Helper()
	count, pending, result := q.snapshot()
	if got != want || count != 1 || pending || result.Status != want {
		t.Fatalf("returned %v (completed %d times, pending %v, with %v), want %v inline", got, count, pending, result.Status, want)
	}
}

// pends checks a call that is under way or over, and not completed inline.
func (q *request) pends(t *testing.T, got ntstatus.Status) *request {
	t.Helper()
	if got != ntstatus.Pending {
		t.Fatalf("returned %v, want STATUS_PENDING", got)
	}
	return q
}

// ends waits until nothing moves and checks the result.
func (q *request) ends(t *testing.T, want ntstatus.Status, info int) {
	t.Helper()
	synctest.Wait()
	count, pending, result := q.snapshot()
	if count != 1 || !pending || result.Status != want || result.Information != uintptr(info) {
		t.Fatalf("completed %d times, pending %v, %v with Information %d; want once, %v with %d",
			count, pending, result.Status, result.Information, want, info)
	}
}

// open waits until nothing moves and checks that it has not completed.
func (q *request) open(t *testing.T) {
	t.Helper()
	synctest.Wait()
	if count, _, result := q.snapshot(); count != 0 {
		t.Fatalf("completed with %v, want still pending", result)
	}
}

var (
	wildcard  = wsk.SockAddr{Family: wsk.AF_INET}
	wildcard6 = wsk.SockAddr{Family: wsk.AF_INET6}
	server4   = wsk.SockAddrFrom(netip.MustParseAddrPort("192.0.2.1:80"))
	server6   = wsk.SockAddrFrom(netip.MustParseAddrPort("[2001:db8::1]:80"))
)

// socket makes a socket of a category.
func (r *rig) socket(flag uint32) socket { return r.socketOf(wsk.AF_INET, flag) }

func (r *rig) socketOf(family uint16, flag uint32) socket {
	r.t.Helper()
	q := newRequest()
	q.pends(r.t, r.npi.Dispatch.Socket(r.npi.Client, family, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, flag, nil, nil, q.IRP))
	q.ends(r.t, ntstatus.Success, 0)
	return q.result.Object.(socket)
}

// bound makes a bound socket, connected a connected one.
func (r *rig) bound() socket {
	r.t.Helper()
	s := r.socket(wsk.FlagConnectionSocket)
	q := newRequest()
	q.pends(r.t, s.Bind(&wildcard, 0, q.IRP)).ends(r.t, ntstatus.Success, 0)
	return s
}

func (r *rig) connected() (socket, *wsktest.Peer) {
	r.t.Helper()
	s := r.bound()
	q := newRequest()
	q.pends(r.t, s.Connect(&server4, 0, q.IRP)).open(r.t)
	r.peer().Accept()
	q.ends(r.t, ntstatus.Success, 0)
	return s, r.peer()
}

// closer is what every socket has.
type closer interface {
	ControlSocket(what wsk.ControlType, code, level uint32, in, out []byte, returned *uint64, i *irp.IRP) ntstatus.Status
	CloseSocket(i *irp.IRP) ntstatus.Status
	StateOf() wsk.State
}

// make makes a socket of any category for TCP.
func (r *rig) make(family uint16, flag uint32, dispatch wsk.EventTable) closer {
	r.t.Helper()
	q := newRequest()
	q.pends(r.t, r.npi.Dispatch.Socket(r.npi.Client, family, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, flag, "context", dispatch, q.IRP))
	q.ends(r.t, ntstatus.Success, 0)
	return q.result.Object.(closer)
}

// listening makes a listening socket, the first on port 80, the next on 81.
func (r *rig) listening(dispatch *wsk.ClientListenDispatch) *wsk.ListenSocket {
	r.t.Helper()
	s := r.make(wsk.AF_INET, wsk.FlagListenSocket, dispatch).(*wsk.ListenSocket)
	q := newRequest()
	q.pends(r.t, s.Bind(r.place(), 0, q.IRP)).ends(r.t, ntstatus.Success, 0)
	return s
}

// place is where the next listening socket binds.
func (r *rig) place() *wsk.SockAddr {
	local := server4
	local.Port += r.ports
	r.ports++
	return &local
}

// set sets an option.
func set(t *testing.T, s closer, level, code, value uint32) {
	t.Helper()
	q := newRequest()
	q.pends(t, s.ControlSocket(wsk.SetOption, code, level, le(value), nil, nil, q.IRP)).ends(t, ntstatus.Success, 0)
}

// datagram makes a datagram socket.
func (r *rig) datagram(family uint16, dispatch *wsk.ClientDatagramDispatch) *wsk.DatagramSocket {
	r.t.Helper()
	q := newRequest()
	q.pends(r.t, r.npi.Dispatch.Socket(r.npi.Client, family, wsk.SOCK_DGRAM, wsk.IPPROTO_UDP, wsk.FlagDatagramSocket, "context", dispatch, q.IRP))
	q.ends(r.t, ntstatus.Success, 0)
	return q.result.Object.(*wsk.DatagramSocket)
}

// post makes a bound datagram socket.
func (r *rig) post(dispatch *wsk.ClientDatagramDispatch) (*wsk.DatagramSocket, *wsktest.Mailbox) {
	r.t.Helper()
	s := r.datagram(wsk.AF_INET, dispatch)
	q := newRequest()
	q.pends(r.t, s.Bind(&wildcard, 0, q.IRP)).ends(r.t, ntstatus.Success, 0)
	return s, r.boxes[len(r.boxes)-1]
}

// switchEvents enables or disables event callbacks.
func switchEvents(s closer, mask uint32, i *irp.IRP) ntstatus.Status {
	in := wsk.EventCallbackControl{NpiID: wsk.NPI_WSK_INTERFACE_ID(), EventMask: mask}.Bytes()
	return s.ControlSocket(wsk.SetOption, wsk.SO_WSK_EVENT_CALLBACK, wsk.SOL_SOCKET, in, nil, nil, i)
}

// close closes a socket and checks that this works.
func (r *rig) close(s closer) {
	r.t.Helper()
	q := newRequest()
	q.pends(r.t, s.CloseSocket(q.IRP)).ends(r.t, ntstatus.Success, 0)
}

// errTest is an error that means nothing to anybody.
var errTest = errors.New("test")
