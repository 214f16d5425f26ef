package await_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/await"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

// capture stands a client on one played peer; programs stand it on onstack.Network.
func capture(peer *wsktest.Peer) (wsk.ProviderNPI, func()) {
	provider := wsk.NewProvider()
	_ = provider.Start(wsktest.Network(func(bool) (wsk.Transport, error) { return peer.Transport, nil }))
	var reg wsk.Registration
	var npi wsk.ProviderNPI
	provider.Register(&wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: wsk.Version1_0}}, &reg)
	reg.CaptureProviderNPI(wsk.NoWait, &npi)
	return npi, func() {
		reg.ReleaseProviderNPI()
		reg.Deregister()
	}
}

// bound makes a bound connection socket.
func bound(npi wsk.ProviderNPI) *wsk.ConnectionSocket {
	s, err := await.Socket[*wsk.ConnectionSocket](npi, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagConnectionSocket, nil, nil).Sync(time.Minute).Get()
	if err != nil {
		panic(err)
	}
	await.Bind(s, wsk.SockAddr{Family: wsk.AF_INET}).Sync(time.Minute)
	return s
}

// A connect whose first bytes may leave in the SYN, an answer, and the end.
func ExampleVerb_Sync() {
	peer := wsktest.NewPeer()
	npi, done := capture(peer)
	defer done()
	s := bound(npi)
	await.SetOption(s, wsk.IPPROTO_TCP, wsk.TCP_FASTOPEN, 1).Sync(time.Minute) // a failure is tolerated

	remote := wsk.SockAddrFrom(netip.MustParseAddrPort("192.0.2.1:80"))
	open := await.ConnectEx(s, remote, []byte("GET /")).Async()
	peer.Accept()
	peer.AckAll()
	n, err := open.Await(time.Minute).Get()
	fmt.Println(n, err)

	peer.Deliver([]byte("200"))
	answer, err := await.Receive(s, 100, 0).Sync(time.Minute).Get()
	fmt.Printf("%s %v\n", answer, err)
	fmt.Println(await.CloseSocket(s).Sync(time.Minute).Status)
	// Output:
	// 5 <nil>
	// 200 <nil>
	// STATUS_SUCCESS
}

// A call that is not over in time is cancelled, and then told as timed out.
func ExamplePending_Await() {
	npi, done := capture(wsktest.NewPeer()) // which never answers
	defer done()
	s := bound(npi)
	remote := wsk.SockAddrFrom(netip.MustParseAddrPort("192.0.2.1:80"))
	_, err := await.Connect(s, remote).Async().Await(10 * time.Millisecond).Get()
	fmt.Println(err)
	await.CloseSocket(s).Sync(time.Minute)
	// Output: STATUS_TIMEOUT (0x00000102): the caller's own wait has run out
}

// A cancel waits until the call is over; it may have succeeded all the same.
func ExamplePending_Cancel() {
	npi, done := capture(wsktest.NewPeer()) // which never answers
	defer done()
	s := bound(npi)
	connect := await.ConnectEx(s, wsk.SockAddrFrom(netip.MustParseAddrPort("192.0.2.1:80")), []byte("GET /")).Async()
	r := connect.Cancel()
	fmt.Println(r.Status, r.Information)
	await.CloseSocket(s).Sync(time.Minute)
	// Output: STATUS_CANCELLED 0
}
