package wsk_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

// scribe is an observer that changes nothing and writes down what it is told.
type scribe struct {
	mu  sync.Mutex
	log []string
}

func (o *scribe) note(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.log = append(o.log, fmt.Sprintf(format, args...))
}

// told returns what was written down since the last time.
func (o *scribe) told() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer func() { o.log = nil }()
	return o.log
}

func (o *scribe) Enter(c *wsk.Call) { o.note("%s", c.Function) }
func (o *scribe) Leave(c *wsk.Call, st ntstatus.Status) {
	o.note("%s = %v/%d", c.Function, st, c.Fault)
}
func (o *scribe) Admit(*wsk.Call) ntstatus.Status { return ntstatus.Success }
func (o *scribe) Memory(_ *wsk.Call, segs [][]byte, written bool) [][]byte {
	o.note("memory %v", written)
	return segs
}
func (o *scribe) Completing(c *wsk.Call, r irp.StatusBlock) {
	o.note("%s completes with %d", c.Function, r.Information)
}
func (o *scribe) Socket(s *wsk.Observed, there bool)           { o.note("%s socket %v", s.Category, there) }
func (o *scribe) Indicate(_ *wsk.Observed, data []byte) []byte { return data }
func (o *scribe) Callback(e *wsk.Callback)                     { o.note("callback %#x", e.Event) }
func (o *scribe) Answered(e *wsk.Callback)                     { o.note("answered %v", e.Answer) }

// nobody is an observer that does nothing at all.
type nobody struct{}

func (nobody) Enter(*wsk.Call)                                    {}
func (nobody) Leave(*wsk.Call, ntstatus.Status)                   {}
func (nobody) Admit(*wsk.Call) ntstatus.Status                    { return ntstatus.Success }
func (nobody) Memory(_ *wsk.Call, segs [][]byte, _ bool) [][]byte { return segs }
func (nobody) Completing(*wsk.Call, irp.StatusBlock)              {}
func (nobody) Socket(*wsk.Observed, bool)                         {}
func (nobody) Indicate(_ *wsk.Observed, data []byte) []byte       { return data }
func (nobody) Callback(*wsk.Callback)                             {}
func (nobody) Answered(*wsk.Callback)                             {}

// TestObserver has a socket's life as an observer sees it.
func TestObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, p := &scribe{}, wsktest.NewProvider(t)
		if err := p.SetObserver(o); err != nil {
			t.Fatal(err)
		}
		r := newRigOn(t, p)
		l := &listener{}
		s, peer := r.heard(l, 0)
		o.told()
		if err := r.p.SetObserver(nil); err == nil {
			t.Error("SetObserver after Start")
		}
		q := newRequest()
		q.pends(t, s.Receive(wsk.NewBuf(make([]byte, 4)), 0, q.IRP)).open(t)
		peer.Deliver([]byte("abc"))
		q.ends(t, ntstatus.Success, 3)
		q = newRequest()
		q.inline(t, s.Send(nil, 0, q.IRP), ntstatus.InvalidParameter)
		switchEvents(s, wsk.EventReceive, nil)
		peer.Deliver([]byte("abc"))
		l.told(t, `data context "abc" 0`)
		r.close(s)
		want := []string{
			"Receive", "memory true", "Receive = STATUS_PENDING/0", "Receive completes with 3",
			"Send", "Send completes with 0", fmt.Sprintf("Send = STATUS_INVALID_PARAMETER/%d", wsk.FaultBuffer),
			"ControlSocket(events)", "ControlSocket(events) = STATUS_SUCCESS/0",
			fmt.Sprintf("callback %#x", wsk.EventReceive), "answered STATUS_SUCCESS",
			"CloseSocket", "CloseSocket = STATUS_PENDING/0", "CloseSocket completes with 0", "connection socket false",
		}
		// A request may complete before its call has returned.
		if got := o.told(); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
			t.Errorf("told\n%q\nwant, in some order,\n%q", got, want)
		}
		r.end()
	})
}

// unobserved returns a socket of a provider without an observer, or with one.
func unobserved(t testing.TB, o wsk.Observer) (s *wsk.ConnectionSocket, end func()) {
	t.Helper()
	p := wsktest.NewProvider(t)
	if err := p.SetObserver(o); err != nil {
		t.Fatal(err)
	}
	p.SetCompletionMode(wsk.CompleteInline, 0)
	if err := p.Start(wsktest.Network(func(bool) (wsk.Transport, error) { return wsktest.NewPeer().Transport, nil })); err != nil {
		t.Fatal(err)
	}
	reg := register(t, p, wsk.Version1_0)
	var npi wsk.ProviderNPI
	reg.CaptureProviderNPI(wsk.NoWait, &npi)
	i := irp.New(nil, nil)
	npi.Dispatch.Socket(npi.Client, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagConnectionSocket, nil, nil, i)
	s = i.IoStatus().Object.(*wsk.ConnectionSocket)
	s.Bind(&wildcard, 0, irp.New(nil, nil))
	return s, func() {
		closed := make(chan struct{})
		s.CloseSocket(irp.New(func(*irp.IRP, any) { close(closed) }, nil))
		<-closed
		reg.ReleaseProviderNPI()
		reg.Deregister()
	}
}

// oneCall is one request that completes inline.
func oneCall(s *wsk.ConnectionSocket, i *irp.IRP, a *wsk.SockAddr) {
	s.GetLocalAddress(a, i)
	i.Reuse(ntstatus.Success)
}

// allocsOfACall is what a call allocated before there were hooks: its operation, and
// the cancel hook that goes with it.
const allocsOfACall = 2

// TestObserverOffCostsNoAllocation has no hook allocate, and a call no more than it
// did before there were hooks.
func TestObserverOffCostsNoAllocation(t *testing.T) {
	s, end := unobserved(t, nil)
	defer end()
	segs := [][]byte{make([]byte, 1)}
	if n := testing.AllocsPerRun(100, func() { wsk.Hooks(s, segs) }); n != 0 {
		t.Errorf("the hooks allocate %v times", n)
	}
	i, a := irp.New(nil, nil), new(wsk.SockAddr)
	off := testing.AllocsPerRun(100, func() { oneCall(s, i, a) })
	if off > allocsOfACall {
		t.Errorf("a call allocates %v times, without hooks it was %d", off, allocsOfACall)
	}
	watched, endWatched := unobserved(t, nobody{})
	defer endWatched()
	if on := testing.AllocsPerRun(100, func() { oneCall(watched, i, a) }); on <= off {
		t.Errorf("with an observer a call allocates %v times: this measures something else", on)
	}
}

// BenchmarkObserver compares, in one run, the hooks alone with the call that they are
// in, and what observers cost.
func BenchmarkObserver(b *testing.B) {
	segs := [][]byte{make([]byte, 1)}
	b.Run("hooks alone, off", func(b *testing.B) {
		s, end := unobserved(b, nil)
		defer end()
		for b.Loop() {
			wsk.Hooks(s, segs)
		}
	})
	for name, o := range map[string]wsk.Observer{"call, off": nil, "call, an observer that does nothing": nobody{}} {
		b.Run(name, func(b *testing.B) {
			s, end := unobserved(b, o)
			defer end()
			i, a := irp.New(nil, nil), new(wsk.SockAddr)
			b.ReportAllocs()
			for b.Loop() {
				oneCall(s, i, a)
			}
		})
	}
}
