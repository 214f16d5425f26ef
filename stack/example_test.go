package stack_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"syscall"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/tun"
)

// echo accepts connections and sends back what they bring.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}()
	}
}

// Attach to a TUN: the kernel has 10.9.0.1, the stack 10.9.0.2, and the kernel's
// services can be reached. This needs CAP_NET_ADMIN; TestExampleTun runs it where it is there.
func Example_tun() {
	dev, err := tun.Open(tun.Config{Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.1/24")}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err) // says what is missing
		return
	}
	link, err := iolink.New(dev, iolink.Config{})
	if err != nil {
		panic(err)
	}
	s, err := stack.New(stack.Config{Link: link, Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.2/24")}})
	if err != nil {
		panic(err)
	}
	defer s.Close() // removes the device as well

	web := http.Client{Transport: &http.Transport{DialContext: (&stack.Dialer{Stack: s, Lazy: true}).DialContext}}
	resp, err := web.Get("http://10.9.0.1/")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
}

// Dial with data: the first connection fetches the cookie and sends the data after the
// handshake; in the second the data is in the SYN.
func ExampleStack_DialContextData() {
	server, client := twoStacks()
	defer server.Close()
	defer client.Close()
	listening := stack.ListenConfig{Stack: server, FastOpen: &fastopen.ListenConfig{}}
	l, err := listening.Listen(context.Background(), "tcp", ":7")
	if err != nil {
		panic(err)
	}
	go echo(l)

	for range 2 {
		c, err := client.DialContextData(context.Background(), "tcp", "10.0.0.1:7", []byte("hello"))
		if err != nil {
			panic(err)
		}
		answer := make([]byte, 5)
		if _, err := io.ReadFull(c, answer); err != nil {
			panic(err)
		}
		info := c.(*stack.TCPConn).FastOpenInfo()
		fmt.Printf("%s: %d bytes in the SYN, %d accepted, reason %q\n", answer, info.BytesInSYN, info.BytesAccepted, info.Reason)
		c.Close()
	}
	// Output:
	// hello: 0 bytes in the SYN, 0 accepted, reason "no-cookie"
	// hello: 5 bytes in the SYN, 5 accepted, reason ""
}

// Lazy dial: for code that dials first and writes afterwards, as almost all does. What it
// writes first is in the SYN, as soon as there is a cookie for the server.
func ExampleDialer_lazy() {
	server, client := twoStacks()
	defer server.Close()
	defer client.Close()
	listening := stack.ListenConfig{Stack: server, FastOpen: &fastopen.ListenConfig{}}
	l, err := listening.Listen(context.Background(), "tcp", ":7")
	if err != nil {
		panic(err)
	}
	go echo(l)

	d := stack.Dialer{Stack: client, Lazy: true}
	for range 2 {
		c, err := d.DialContext(context.Background(), "tcp", "10.0.0.1:7")
		if err != nil {
			panic(err)
		}
		if _, err := c.Write([]byte("hello")); err != nil { // starts the connection, if Dial has not
			panic(err)
		}
		answer := make([]byte, 5)
		if _, err := io.ReadFull(c, answer); err != nil {
			panic(err)
		}
		fmt.Printf("%s: %d bytes in the SYN\n", answer, c.(*stack.TCPConn).FastOpenInfo().BytesInSYN)
		c.Close()
	}
	// Output:
	// hello: 0 bytes in the SYN
	// hello: 5 bytes in the SYN
}

// A Fast Open listener whose keys are shared, with other machines or with a Linux kernel
// (net.ipv4.tcp_fastopen_key): a cookie from one is good for all. The data that came in
// a SYN may be a copy of an earlier connection's; a server that minds can ask.
func ExampleListenConfig_sharedKeys() {
	server, client := twoStacks()
	defer server.Close()
	defer client.Close()
	keys, err := fastopen.ParseKeys("a0bf63f7-ed803d81-cd641d30-cebc4a90")
	if err != nil {
		panic(err)
	}
	server.FastOpen().SetKeys(keys)
	listening := stack.ListenConfig{Stack: server, FastOpen: &fastopen.ListenConfig{MaxPending: 16}}
	l, err := listening.Listen(context.Background(), "tcp", ":80")
	if err != nil {
		panic(err)
	}
	defer l.Close()

	for range 2 {
		c, err := client.DialContextData(context.Background(), "tcp", "10.0.0.1:80", []byte("GET"))
		if err != nil {
			panic(err)
		}
		s, err := l.Accept()
		if err != nil {
			panic(err)
		}
		request := make([]byte, 3)
		if _, err := io.ReadFull(s, request); err != nil {
			panic(err)
		}
		fmt.Printf("%s, early: %d bytes\n", request, s.(*stack.TCPConn).FastOpenInfo().EarlyData)
		s.Close()
		c.Close()
	}
	mine := keys.Primary.Cookie(netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.1"))
	fmt.Println("every server with these keys knows the cookie", mine)
	// Output:
	// GET, early: 0 bytes
	// GET, early: 3 bytes
	// every server with these keys knows the cookie 65c5df19cf623e15
}

// A capture of a stack at work. Wireshark shows the comments beside the packets.
func ExampleStack_CapturePcap() {
	server, client := twoStacks()
	defer server.Close()
	defer client.Close()
	l, err := server.Listen("tcp", ":7")
	if err != nil {
		panic(err)
	}
	go echo(l)

	var file bytes.Buffer // or an *os.File
	ctx, stop := context.WithCancel(context.Background())
	wait, err := client.CapturePcap(ctx, &file)
	if err != nil {
		panic(err)
	}
	c, err := client.DialContext(context.Background(), "tcp", "10.0.0.1:7")
	if err != nil {
		panic(err)
	}
	c.Close()
	stop()
	if err := wait(); err != nil { // what the file said, and from here on nobody writes to it
		panic(err)
	}
	fmt.Println(bytes.Contains(file.Bytes(), []byte("Fast Open: option added (asks for a cookie)")))
	// Output: true
}

// A stack whose calls never block, for event loops: a call that cannot go on says EAGAIN,
// and SetWake's function says when to look again.
func ExampleEndpoint() {
	server, client := twoStacks()
	defer server.Close()
	defer client.Close()
	l, err := server.Listen("tcp", ":7")
	if err != nil {
		panic(err)
	}
	go echo(l)

	ep, err := client.NewEndpoint("tcp4")
	if err != nil {
		panic(err)
	}
	wake := make(chan struct{}, 1)
	ep.SetWake(func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	})
	if err := ep.Connect(netip.MustParseAddrPort("10.0.0.1:7"), stack.ConnectOptions{Data: []byte("hello")}); err != nil {
		panic(err)
	}
	buf := make([]byte, 5)
	for got := 0; got < len(buf); {
		done, err := ep.Connected()
		if err == nil && done {
			var n int
			n, err = ep.Read([][]byte{buf[got:]})
			got += n
			if n > 0 {
				continue
			}
		}
		if err != nil && !errors.Is(err, syscall.EAGAIN) {
			panic(err)
		}
		<-wake
	}
	fmt.Printf("%s\n", buf)
	// Output: hello
}
