package wsk_test

import (
	"fmt"
	"net/netip"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

// A client's whole life: register, capture, create, bind, connect with first
// bytes, close, release, deregister. On a real stack, package onstack gives the
// network that Start wants.
func Example() {
	peer := wsktest.NewPeer()
	provider := wsk.NewProvider()
	if err := provider.Start(wsktest.Network(func(bool) (wsk.Transport, error) { return peer.Transport, nil })); err != nil {
		fmt.Println(err)
		return
	}
	defer provider.Stop()

	var reg wsk.Registration
	var npi wsk.ProviderNPI
	client := wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: wsk.MakeVersion(1, 0)}}
	provider.Register(&client, &reg)
	defer reg.Deregister()
	reg.CaptureProviderNPI(wsk.InfiniteWait, &npi)
	defer reg.ReleaseProviderNPI()

	// wait submits a request and waits for its completion: never do that inside
	// a completion routine.
	wait := func(submit func(i *irp.IRP) ntstatus.Status) irp.StatusBlock {
		done := make(chan struct{})
		i := irp.New(func(*irp.IRP, any) { close(done) }, nil)
		submit(i)
		<-done
		return i.IoStatus()
	}

	created := wait(func(i *irp.IRP) ntstatus.Status {
		return npi.Dispatch.Socket(npi.Client, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP,
			wsk.FlagConnectionSocket, nil, nil, i)
	})
	socket := created.Object.(*wsk.ConnectionSocket)
	wait(func(i *irp.IRP) ntstatus.Status {
		return socket.ControlSocket(wsk.SetOption, wsk.TCP_FASTOPEN, wsk.IPPROTO_TCP, []byte{1, 0, 0, 0}, nil, nil, i)
	})
	wait(func(i *irp.IRP) ntstatus.Status {
		return socket.Bind(&wsk.SockAddr{Family: wsk.AF_INET}, 0, i)
	})
	connected := wait(func(i *irp.IRP) ntstatus.Status {
		remote := wsk.SockAddrFrom(netip.MustParseAddrPort("192.0.2.1:80"))
		status := socket.ConnectEx(&remote, wsk.NewBuf([]byte("GET / HTTP/1.0\r\n\r\n")), 0, i)
		peer.Accept() // the far end's part
		peer.AckAll()
		return status
	})
	fmt.Println(connected.Status, connected.Information)
	fmt.Println(wait(socket.CloseSocket).Status)
	// Output:
	// STATUS_SUCCESS 18
	// STATUS_SUCCESS
}
