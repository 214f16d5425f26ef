package verifier_test

import (
	"fmt"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/verifier"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

// A client that closes its socket twice, which on Windows touches freed memory.
func Example() {
	v, err := verifier.New(verifier.Config{
		OnReport: func(r *verifier.Report) { fmt.Println(r.Line()) }, // r.String() has the stacks too
	})
	if err != nil {
		panic(err)
	}
	provider := wsk.NewProvider()
	if err := v.Attach(provider); err != nil { // before everything else
		panic(err)
	}
	network := wsktest.Network(func(bool) (wsk.Transport, error) { return wsktest.NewPeer().Transport, nil })
	if err := provider.Start(v.Network(network)); err != nil {
		panic(err)
	}
	var reg wsk.Registration
	var npi wsk.ProviderNPI
	provider.Register(&wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: wsk.Version1_0}}, &reg)
	reg.CaptureProviderNPI(wsk.InfiniteWait, &npi)

	done := make(chan irp.StatusBlock, 1)
	request := func() *irp.IRP { return irp.New(func(i *irp.IRP, _ any) { done <- i.IoStatus() }, nil) }
	npi.Dispatch.Socket(npi.Client, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagConnectionSocket, nil, nil, request())
	socket := (<-done).Object.(*wsk.ConnectionSocket)
	socket.CloseSocket(request())
	<-done
	socket.CloseSocket(request())
	<-done

	reg.ReleaseProviderNPI()
	reg.Deregister()
	v.Finish() // the unload: nothing may be left
	fmt.Println(v.Counts())
	// Output:
	// S3: second WskCloseSocket: connection socket #1: CloseSocket in state Closed (as the WskCloseSocket page)
	// map[S3:1]
}
