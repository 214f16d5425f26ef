package wsktest_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/await"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

// BenchmarkConnection is the life of a connection over the model, with a provider that is
// watched: connect, send 100 bytes, receive as many, close.
func BenchmarkConnection(b *testing.B) {
	var peer *wsktest.Peer
	provider := wsktest.NewStrictProvider(b)
	if err := provider.Start(wsktest.Network(func(bool) (wsk.Transport, error) {
		p := wsktest.NewPeer()
		write := p.Transport.WriteFunc
		p.Transport.WriteFunc = func(src [][]byte) (int, error) {
			defer p.AckAll()
			return write(src)
		}
		peer = p
		return p.Transport, nil
	})); err != nil {
		b.Fatal(err)
	}
	defer provider.Stop()
	var reg wsk.Registration
	var npi wsk.ProviderNPI
	provider.Register(&wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: wsk.Version1_0}}, &reg)
	if st := reg.CaptureProviderNPI(wsk.NoWait, &npi); st != ntstatus.Success {
		b.Fatal(st)
	}
	defer reg.Deregister()
	defer reg.ReleaseProviderNPI()
	to, data := wsk.SockAddrFrom(netip.MustParseAddrPort("192.0.2.1:80")), make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		s, err := await.Socket[*wsk.ConnectionSocket](npi, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagConnectionSocket, nil, nil).Sync(time.Minute).Get()
		if err != nil {
			b.Fatal(err)
		}
		await.Bind(s, wsk.SockAddr{Family: wsk.AF_INET}).Sync(time.Minute)
		connect := await.Connect(s, to).Async()
		peer.Accept()
		if _, err := connect.Await(time.Minute).Get(); err != nil {
			b.Fatal(err)
		}
		if n, err := await.Send(s, data, 0).Sync(time.Minute).Get(); n != len(data) || err != nil {
			b.Fatal(n, err)
		}
		peer.Deliver(data)
		if got, err := await.Receive(s, len(data), 0).Sync(time.Minute).Get(); len(got) != len(data) || err != nil {
			b.Fatal(len(got), err)
		}
		await.CloseSocket(s).Sync(time.Minute)
	}
}
