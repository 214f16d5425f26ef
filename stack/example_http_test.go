package stack_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/tun/tuntest"
)

// twoStacks makes a server at 10.0.0.1 and a client at 10.0.0.2, joined in memory.
func twoStacks() (server, client *stack.Stack) {
	a, b := tuntest.NewPair(tuntest.Config{}) // or tun.Open, see the example "Tun"
	return onDevice(a, "10.0.0.1/24"), onDevice(b, "10.0.0.2/24")
}

// onDevice makes a stack on anything that reads and writes packets.
func onDevice(dev iolink.Device, address string) *stack.Stack {
	link, err := iolink.New(dev, iolink.Config{}) // owns the device from here on
	if err != nil {
		panic(err)
	}
	s, err := stack.New(stack.Config{Link: link, Addresses: []netip.Prefix{netip.MustParsePrefix(address)}})
	if err != nil {
		panic(err)
	}
	return s
}

// A server and a client of net/http, unchanged. The client's second connection has a
// cookie, so its request is in the SYN, and the server reads it before the handshake is
// over.
func Example_http() {
	server, client := twoStacks()
	defer server.Close() // connections, link and device too
	defer client.Close()

	listening := stack.ListenConfig{Stack: server, FastOpen: &fastopen.ListenConfig{}}
	l, err := listening.Listen(context.Background(), "tcp", ":80")
	if err != nil {
		panic(err)
	}
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "you asked for %s", r.URL.Path)
	})}
	go func() { _ = web.Serve(l) }()
	defer web.Close()

	dialer := &stack.Dialer{Stack: client, Lazy: true} // the first Write goes into the SYN
	browser := &http.Client{Transport: &http.Transport{
		DialContext:       dialer.DialContext,
		DisableKeepAlives: true, // a connection for each request, to show more than one
	}}
	for _, path := range []string{"/first", "/second"} {
		resp, err := browser.Get("http://10.0.0.1" + path)
		if err != nil {
			panic(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Println(resp.Status, string(body), err)
	}
	fmt.Println("requests in a SYN:", server.FastOpen().Stats().TCPFastOpenPassive)
	// Output:
	// 200 OK you asked for /first <nil>
	// 200 OK you asked for /second <nil>
	// requests in a SYN: 1
}
