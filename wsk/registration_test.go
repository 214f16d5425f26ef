package wsk_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

var network = wsktest.Network(func(bool) (wsk.Transport, error) { return wsktest.NewPeer().Transport, nil })

func register(t testing.TB, p *wsk.Provider, version uint16) *wsk.Registration {
	t.Helper()
	reg := new(wsk.Registration)
	npi := wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: version}}
	if st := p.Register(&npi, reg); st != ntstatus.Success {
		t.Fatal(st)
	}
	return reg
}

func clientOf(t *testing.T, p *wsk.Provider) *wsk.Client {
	t.Helper()
	if err := p.Start(network); err != nil {
		t.Fatal(err)
	}
	var npi wsk.ProviderNPI
	if st := register(t, p, wsk.Version1_0).CaptureProviderNPI(wsk.NoWait, &npi); st != ntstatus.Success {
		t.Fatal(st)
	}
	return npi.Client
}

func TestRegisterArguments(t *testing.T) {
	p := wsktest.NewProvider(t)
	good := wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: wsk.Version1_0}}
	reg := register(t, p, wsk.Version1_0)
	for _, st := range []ntstatus.Status{
		p.Register(nil, new(wsk.Registration)),
		p.Register(&wsk.ClientNPI{}, new(wsk.Registration)),
		p.Register(&good, nil),
		p.Register(&good, reg), // in use
		reg.CaptureProviderNPI(wsk.NoWait, nil),
		reg.QueryProviderCharacteristics(nil),
	} {
		if st != ntstatus.InvalidParameter {
			t.Errorf("answers %v", st)
		}
	}
	reg.Deregister()
	if st := p.Register(&good, reg); st != ntstatus.Success {
		t.Errorf("a registration that is over cannot be used again: %v", st)
	}
	var none wsk.Registration
	none.ReleaseProviderNPI()
	none.Deregister()
	if st := none.CaptureProviderNPI(wsk.InfiniteWait, new(wsk.ProviderNPI)); st != ntstatus.DeviceNotReady {
		t.Errorf("unregistered: %v", st)
	}
	if st := none.QueryProviderCharacteristics(new(wsk.ProviderCharacteristics)); st != ntstatus.DeviceNotReady {
		t.Errorf("unregistered: %v", st)
	}
	if err := p.Start(nil); err == nil {
		t.Error("started without a network")
	}
}

func TestVersions(t *testing.T) {
	for version, want := range map[uint16]ntstatus.Status{
		wsk.MakeVersion(1, 0): ntstatus.Success,
		wsk.MakeVersion(1, 1): ntstatus.NoInterface,
		wsk.MakeVersion(2, 0): ntstatus.NoInterface,
		wsk.MakeVersion(0, 9): ntstatus.NoInterface,
	} {
		p := wsktest.NewProvider(t)
		reg := register(t, p, version)
		var npi wsk.ProviderNPI
		var chars wsk.ProviderCharacteristics
		if st := reg.QueryProviderCharacteristics(&chars); st != ntstatus.DeviceNotReady {
			t.Errorf("characteristics before Start: %v", st)
		}
		if st := reg.CaptureProviderNPI(wsk.NoWait, &npi); st != ntstatus.DeviceNotReady {
			t.Errorf("capture before Start: %v", st)
		}
		if err := p.Start(network); err != nil {
			t.Fatal(err)
		}
		if err := p.Start(network); err == nil {
			t.Error("started twice")
		}
		if st := reg.CaptureProviderNPI(wsk.NoWait, &npi); st != want {
			t.Errorf("version %#x: %v, want %v", version, st, want)
		}
		if st := reg.QueryProviderCharacteristics(&chars); st != ntstatus.Success || chars.HighestVersion != 0x0100 || chars.LowestVersion != 0x0100 {
			t.Errorf("characteristics %v, %+v", st, chars)
		}
		reg.ReleaseProviderNPI()
		reg.Deregister()
		if st := reg.CaptureProviderNPI(wsk.InfiniteWait, &npi); st != ntstatus.DeviceNotReady {
			t.Errorf("capture after Deregister: %v", st)
		}
		p.Stop()
		p.Stop()
		if err := p.Start(network); err == nil {
			t.Error("started after Stop")
		}
	}
}

// TestCaptureWaits has waits that end in each way.
func TestCaptureWaits(t *testing.T) {
	for name, tt := range map[string]struct {
		timeout uint32
		event   func(p *wsk.Provider, reg *wsk.Registration)
		want    ntstatus.Status
		after   time.Duration
	}{
		"time runs out": {250, func(*wsk.Provider, *wsk.Registration) {}, ntstatus.DeviceNotReady, 250 * time.Millisecond},
		"starts":        {wsk.InfiniteWait, func(p *wsk.Provider, _ *wsk.Registration) { _ = p.Start(network) }, ntstatus.Success, 0},
		"stops":         {wsk.InfiniteWait, func(p *wsk.Provider, _ *wsk.Registration) { p.Stop() }, ntstatus.DeviceNotReady, 0},
		"deregisters":   {wsk.InfiniteWait, func(_ *wsk.Provider, reg *wsk.Registration) { reg.Deregister() }, ntstatus.DeviceNotReady, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := wsktest.NewProvider(t)
				reg := register(t, p, wsk.Version1_0)
				begin := time.Now()
				var got ntstatus.Status
				var took time.Duration
				var wg sync.WaitGroup
				wg.Go(func() {
					got = reg.CaptureProviderNPI(tt.timeout, new(wsk.ProviderNPI))
					took = time.Since(begin)
				})
				synctest.Wait()
				tt.event(p, reg)
				wg.Wait()
				if got != tt.want || took != tt.after {
					t.Errorf("%v after %v, want %v after %v", got, took, tt.want, tt.after)
				}
			})
		})
	}
}

// TestDeregisterWaits takes what it waits for away piece by piece.
func TestDeregisterWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		s, _ := r.connected()
		receive := newRequest()
		receive.pends(t, s.Receive(wsk.NewBuf(make([]byte, 1)), 0, receive.IRP))
		over := make(chan struct{})
		go func() { r.reg.Deregister(); close(over) }()

		busy := func() *wsk.BusyError {
			t.Helper()
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			err := r.reg.DeregisterContext(ctx)
			var b *wsk.BusyError
			if !errors.As(err, &b) || !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("got %v", err)
			}
			return b
		}
		b := busy()
		if b.Captures != 1 || b.Calls != 0 || len(b.Sockets) != 1 || b.Sockets[0].State != wsk.Connected ||
			b.Sockets[0].Pended != 1 || b.Sockets[0].Remote != server4 {
			t.Errorf("waits for %+v", b.Blockers)
		}
		if text := b.Error(); !strings.Contains(text, "1 captures to release") || !strings.Contains(text, "connection socket in state Connected") {
			t.Errorf("says %q", text)
		}
		r.reg.ReleaseProviderNPI()
		r.reg.ReleaseProviderNPI() // one too many changes nothing
		if b = busy(); b.Captures != 0 || len(b.Sockets) != 1 {
			t.Errorf("waits for %+v", b.Blockers)
		}
		held, closed := make(chan struct{}), newRequest()
		closed.then = func() { <-held }
		closed.pends(t, s.CloseSocket(closed.IRP))
		synctest.Wait()
		if b = busy(); len(b.Sockets) != 1 || b.Sockets[0].State != wsk.Closed {
			t.Errorf("waits for %+v: a routine has not returned", b.Blockers)
		}
		select {
		case <-over:
			t.Error("deregistered while a routine runs")
		default:
		}
		close(held)
		<-over
		if err := r.reg.DeregisterContext(context.Background()); err != nil {
			t.Errorf("a second time: %v", err)
		}
	})
}

// TestReleaseKeepsSockets has a socket that outlives its capture.
func TestReleaseKeepsSockets(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s := r.bound()
		r.reg.ReleaseProviderNPI()
		q := newRequest()
		q.pends(t, s.Connect(&server4, 0, q.IRP))
		r.peer().Accept()
		q.ends(t, ntstatus.Success, 0)
		r.close(s)
		r.reg.Deregister()
		q = newRequest()
		q.inline(t, r.npi.Dispatch.Socket(r.npi.Client, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagStreamSocket, nil, nil, q.IRP), ntstatus.DeviceNotReady)
	})
}
