package stacktest_test

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/stack/stacktest"
)

// pair is two hosts, so far apart.
func pair(n *stacktest.Net, p stacktest.Path) (client, server *stacktest.Host) {
	return n.Host("client", stacktest.Both(p), config(clientAddr, clientAddr6)),
		n.Host("server", stacktest.LineConfig{}, config(serverAddr, serverAddr6))
}

// Three hosts meet in one cloud, and time passes as the paths say.
func TestHosts(t *testing.T) {
	r := stacktest.Run(t, stacktest.Config{}, func(n *stacktest.Net) {
		slow := stacktest.Path{Delay: 100 * time.Millisecond}
		near, far := pair(n, slow)
		third := n.Host("third", stacktest.Both(slow), config(addrOf("10.0.0.3")))
		l, err := far.Listen(serverPort, 8, nil)
		if err != nil {
			n.T().Fatal(err)
		}
		for _, h := range []*stacktest.Host{near, third} {
			before := n.Now()
			exchange(n.T(), n, h, far, l, pattern(100), pattern(200))
			// SYN; data and FIN; answer and FIN: 2 round trips of 200 ms.
			if took := n.Now() - before; took != 400*time.Millisecond {
				n.T().Errorf("took %v", took)
			}
		}
		if err := l.Close(); err != nil {
			n.T().Error(err)
		}
		n.Sleep(time.Second) // the last ACK arrives
	})
	if r.Packets == 0 || r.Delivered != r.Packets {
		t.Errorf("%+v: nothing is lost on these paths", r)
	}
}

// Code that knows nothing of the simulator runs in it: go statements, channels,
// time.After, an endpoint's own wake function.
func TestOrdinaryCode(t *testing.T) {
	stacktest.Run(t, stacktest.Config{}, func(n *stacktest.Net) {
		client, server := pair(n, stacktest.Path{Delay: time.Second})
		l, err := server.Listen(serverPort, 8, nil)
		if err != nil {
			n.T().Fatal(err)
		}
		e, err := client.Stack.NewEndpoint("tcp4")
		if err != nil {
			n.T().Fatal(err)
		}
		woken := make(chan struct{}, 1)
		e.SetWake(func() {
			select {
			case woken <- struct{}{}:
			default:
			}
		})
		if err := e.Connect(l.LocalAddr(), stack.ConnectOptions{Data: pattern(10)}); err != nil {
			n.T().Fatal(err)
		}
		var all sync.WaitGroup
		all.Go(func() {
			c, err := l.Accept()
			if err != nil {
				n.T().Error(err)
				return
			}
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, pattern(10)) {
				n.T().Errorf("read %d bytes, %v", len(got), err)
			}
			_ = c.Close()
		})
		for done := false; !done; {
			select {
			case <-woken:
				done, err = e.Connected()
				if err != nil {
					n.T().Fatal(err)
				}
			case <-time.After(time.Hour):
				t.Fatal("not connected in an hour")
			}
		}
		if n.Now() != 2*time.Second {
			n.T().Errorf("connected after %v", n.Now())
		}
		<-time.After(time.Minute)
		if err := e.CloseWrite(); err != nil {
			n.T().Error(err)
		}
		all.Wait()
		_ = e.Close()
		_ = l.Close()
	})
}

// A path with a smaller MTU says so, and the connection adapts.
func TestPathMTU(t *testing.T) {
	for _, to := range []string{"10.0.0.2:80", "[fd00::2]:80"} {
		stacktest.Run(t, stacktest.Config{}, func(n *stacktest.Net) {
			client, server := pair(n, stacktest.Path{Delay: time.Millisecond, MTU: 1300})
			l, err := server.Listen(portOf(to), 8, &fastopen.ListenConfig{})
			if err != nil {
				n.T().Fatal(err)
			}
			exchange(n.T(), n, client, server, l, pattern(20000), pattern(20000))
			exchange(n.T(), n, client, server, l, pattern(20000), pattern(20000))
			_ = l.Close()
			large := 0
			for _, e := range n.Events() {
				if e.Lost != "" {
					large++
				}
			}
			if large == 0 {
				n.T().Error("no packet was too large: this test shows nothing")
			}
		})
	}
}

// A Peer and a Host: every segment of the Peer's is made by the test.
func TestPeer(t *testing.T) {
	stacktest.Run(t, stacktest.Config{}, func(n *stacktest.Net) {
		client := n.Host("client", stacktest.LineConfig{}, config(clientAddr))
		peer := n.Peer("peer", stacktest.LineConfig{}, serverAddr)
		if _, err := peer.Receive(time.Minute); err != stacktest.ErrLimit || n.Now() != time.Minute {
			n.T().Errorf("%v after %v", err, n.Now())
		}
		refused := n.Go(func() {
			syn, err := peer.Receive(time.Minute)
			if err != nil || syn.Flags() != seg.SYN {
				n.T().Errorf("%v", err)
				return
			}
			peer.SendBytes([]byte("no packet"))
			peer.Send(seg.Make(seg.Fields{Src: syn.Dst(), Dst: syn.Src(), Flags: seg.RST | seg.ACK, Ack: syn.End()}))
		})
		if _, err := client.Dial(serverPort, stack.ConnectOptions{FastOpen: fastopen.ModeOff}); !errors.Is(err, syscall.ECONNREFUSED) {
			n.T().Errorf("dialed: %v", err)
		}
		refused()
	})
}

// A host that loses its power says nothing more; another can take its place.
func TestHostClose(t *testing.T) {
	stacktest.Run(t, stacktest.Config{}, func(n *stacktest.Net) {
		client, server := pair(n, stacktest.Path{Delay: time.Millisecond})
		l, err := server.Listen(serverPort, 8, nil)
		if err != nil {
			n.T().Fatal(err)
		}
		c, err := client.Dial(l.LocalAddr(), stack.ConnectOptions{})
		if err != nil {
			n.T().Fatal(err)
		}
		before := len(n.Events())
		server.Close()
		server.Close()
		n.Sleep(time.Minute)
		for _, e := range n.Events()[before:] {
			if e.Node == "server" && e.Kind == stacktest.Sent {
				n.T().Errorf("after the end:\n%s", stacktest.Ladder([]stacktest.Event{e}))
			}
		}
		if left := client.Leftovers(); len(left) != 2 { // the socket and its endpoint
			n.T().Errorf("an open connection leaves %q", left)
		}
		if _, err := l.Accept(); err == nil {
			n.T().Error("a closed host accepts")
		}
		n.Host("server again", stacktest.LineConfig{}, config(serverAddr))
		if _, err := c.Write(pattern(10)); err != nil {
			n.T().Error(err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			n.T().Errorf("the connection says %v", err)
		}
		_ = c.Close()
	})
}
