package await_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/await"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/wsktest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestCalls lives a connection's life through each way to call, in each completion
// mode.
func TestCalls(t *testing.T) {
	for name, mode := range map[string]wsk.CompletionMode{
		"later": wsk.CompleteLater, "inline": wsk.CompleteInline, "random": wsk.CompleteRandom,
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { life(t, mode) }) })
	}
}

func life(t *testing.T, mode wsk.CompletionMode) {
	peer := wsktest.NewPeer()
	provider := wsktest.NewProvider(t)
	provider.SetCompletionMode(mode, 1)
	if err := provider.Start(wsktest.Network(func(bool) (wsk.Transport, error) { return peer.Transport, nil })); err != nil {
		t.Fatal(err)
	}
	var reg wsk.Registration
	var npi wsk.ProviderNPI
	provider.Register(&wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: wsk.Version1_0}}, &reg)
	reg.CaptureProviderNPI(wsk.NoWait, &npi)
	check := func(got irp.StatusBlock, want ntstatus.Status, info uintptr) irp.StatusBlock {
		t.Helper()
		if got.Status != want || got.Information != info {
			t.Fatalf("%v with %d, want %v with %d", got.Status, got.Information, want, info)
		}
		return got
	}
	s := check(await.Do(time.Second, func(i *irp.IRP) ntstatus.Status {
		return npi.Dispatch.Socket(npi.Client, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagConnectionSocket, nil, nil, i)
	}), ntstatus.Success, 0).Object.(*wsk.ConnectionSocket)
	check(await.Do(0, func(i *irp.IRP) ntstatus.Status { return s.Send(wsk.NewBuf([]byte("x")), 0, i) }), ntstatus.InvalidDeviceState, 0)
	check(await.Do(time.Second, func(i *irp.IRP) ntstatus.Status { return s.Bind(&wsk.SockAddr{Family: wsk.AF_INET}, 0, i) }), ntstatus.Success, 0)

	connect := await.Start(func(i *irp.IRP) ntstatus.Status {
		return s.Connect(&wsk.SockAddr{Family: wsk.AF_INET, Port: 9, Addr: [16]byte{192, 0, 2, 1}}, 0, i)
	})
	if connect.Returned() != ntstatus.Pending {
		t.Errorf("returned %v", connect.Returned())
	}
	peer.Accept()
	<-connect.Done()
	check(connect.Await(0), ntstatus.Success, 0)

	// A limit ends a request; what it has got is told.
	buf := make([]byte, 4)
	peer.Deliver([]byte("ab"))
	began := time.Now()
	receive := func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(buf), wsk.FlagWaitAll, i) }
	check(await.Do(3*time.Second, receive), ntstatus.Timeout, 2)
	if took := time.Since(began); took != 3*time.Second {
		t.Errorf("took %v", took)
	}
	check(await.Start(receive).Cancel(), ntstatus.Cancelled, 0)

	// Several may wait for one.
	waited := await.Start(receive)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { check(waited.Await(await.NoLimit), ntstatus.Success, 4) })
	}
	peer.Deliver([]byte("abcd"))
	wg.Wait()
	check(waited.Cancel(), ntstatus.Success, 4) // too late
	check(await.Do(time.Second, s.CloseSocket), ntstatus.Success, 0)

	// A submit that does not take the IRP.
	check(await.Do(await.NoLimit, func(*irp.IRP) ntstatus.Status { return ntstatus.InvalidParameter }), ntstatus.InvalidParameter, 0)
	check(await.Start(func(*irp.IRP) ntstatus.Status { return ntstatus.InvalidParameter }).Cancel(), ntstatus.InvalidParameter, 0)
	reg.ReleaseProviderNPI()
	reg.Deregister()
}
