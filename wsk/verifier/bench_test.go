package verifier_test

import (
	"testing"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/verifier"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

// BenchmarkSocket makes and closes a socket, without a verifier and with one.
func BenchmarkSocket(b *testing.B) {
	for name, verified := range map[string]bool{"alone": false, "verified": true} {
		b.Run(name, func(b *testing.B) {
			provider := wsk.NewProvider()
			var network wsk.Network = wsktest.Network(func(bool) (wsk.Transport, error) { return wsktest.NewPeer().Transport, nil })
			if verified {
				v, err := verifier.New(verifier.Config{})
				if err != nil {
					b.Fatal(err)
				}
				if err := v.Attach(provider); err != nil {
					b.Fatal(err)
				}
				network = v.Network(network)
				defer v.Finish()
			}
			if err := provider.Start(network); err != nil {
				b.Fatal(err)
			}
			var reg wsk.Registration
			var npi wsk.ProviderNPI
			provider.Register(&wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: wsk.Version1_0}}, &reg)
			reg.CaptureProviderNPI(wsk.InfiniteWait, &npi)
			defer reg.Deregister()
			defer reg.ReleaseProviderNPI()
			done := make(chan irp.StatusBlock, 1)
			request := func() *irp.IRP { return irp.New(func(i *irp.IRP, _ any) { done <- i.IoStatus() }, nil) }
			b.ReportAllocs()
			for b.Loop() {
				npi.Dispatch.Socket(npi.Client, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagConnectionSocket, nil, nil, request())
				(<-done).Object.(*wsk.ConnectionSocket).CloseSocket(request())
				<-done
			}
		})
	}
}
