package kernelpeer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/test/netns/netnstest"
)

// limit is when a test that hangs gives up; nothing is measured with it.
const limit = 30 * time.Second

// rig is a server and a client of the kernel in one namespace, over lo.
type rig struct {
	t   *testing.T
	ctx context.Context
	ns  *netns.Namespace
	srv *Server
	n   int // connections dialled so far
}

func newRig(t *testing.T, cfg ServerConfig) *rig {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	ns := netnstest.New(t)
	if err := EnableFastOpen(ns); err != nil {
		t.Fatal(err)
	}
	if err := SetKeys(ns, Key{1}); err != nil {
		t.Fatal(err)
	}
	if !cfg.Address.IsValid() {
		cfg.Address = netip.MustParseAddrPort("127.0.0.1:0")
	}
	srv, err := Listen(ns, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return &rig{t: t, ctx: ctx, ns: ns, srv: srv}
}

// exchange dials, sends data, reads the echo, closes, and returns what both
// sides know.
func (r *rig) exchange(method Method, data string) (client Info, server Record) {
	r.t.Helper()
	c, err := Dial(r.ctx, r.ns, ClientConfig{Remote: r.srv.Addr(), Method: method, Data: []byte(data)})
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	if err := c.CloseWrite(); err != nil {
		r.t.Fatal(err)
	}
	echo, err := io.ReadAll(c)
	if err != nil || string(echo) != data {
		r.t.Fatalf("echo of %d bytes: %d bytes, %v", len(data), len(echo), err)
	}
	if client, err = c.Info(); err != nil {
		r.t.Fatal(err)
	}
	server, err = r.srv.Finished(r.ctx, r.n)
	if err != nil {
		r.t.Fatal(err)
	}
	r.n++
	if string(server.Received) != data || server.Err != nil {
		r.t.Errorf("the server received %d bytes of %d, %v", len(server.Received), len(data), server.Err)
	}
	return client, server
}

func (r *rig) counters() Counters {
	r.t.Helper()
	c, err := ReadCounters(r.ns)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// moved runs f and compares how far the counters went.
func (r *rig) moved(want Counters, f func()) {
	r.t.Helper()
	before := r.counters()
	f()
	if got := r.counters().Since(before); got != want {
		r.t.Errorf("counters moved by\n%+v, want\n%+v", got, want)
	}
}

func TestFastOpenBetweenKernelAndKernel(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		for name, method := range map[string]Method{"sendto": SendTo, "deferred": Deferred} {
			t.Run(addr+"/"+name, func(t *testing.T) {
				r := newRig(t, ServerConfig{Address: netip.MustParseAddrPort(addr), FastOpen: 16})
				r.moved(Counters{CookieReqd: 1}, func() {
					client, server := r.exchange(method, "first")
					if client.SYNData || server.AcceptInfo.SYNData {
						t.Errorf("data in the SYN without a cookie: %+v, %+v", client, server.AcceptInfo)
					}
				})
				r.moved(Counters{Active: 1, Passive: 1}, func() {
					client, server := r.exchange(method, "second")
					if !client.SYNData || !server.AcceptInfo.SYNData || server.AtAccept != len("second") {
						t.Errorf("client %+v, server %+v", client, server)
					}
				})
				large := strings.Repeat("0123456789", 20000)
				r.moved(Counters{Active: 1, Passive: 1}, func() { r.exchange(method, large) })
			})
		}
	}
}

func TestPlainConnection(t *testing.T) {
	r := newRig(t, ServerConfig{FastOpen: 16})
	r.moved(Counters{}, func() {
		client, server := r.exchange(Plain, "hello")
		if client.SYNData || server.AcceptInfo.SYNData || client.BytesAcked == 0 {
			t.Errorf("client %+v, server %+v", client, server)
		}
	})
}

func TestListenerWithoutFastOpen(t *testing.T) {
	r := newRig(t, ServerConfig{})
	r.moved(Counters{CookieReqd: 1}, func() {
		if client, _ := r.exchange(SendTo, "hello"); client.SYNData || client.FastOpenFail != FailCookieUnavailable {
			t.Errorf("%+v", client)
		}
	})
}

func TestRotatedKey(t *testing.T) {
	r := newRig(t, ServerConfig{FastOpen: 16})
	rotate := func(keys ...Key) {
		t.Helper()
		if err := SetKeys(r.ns, keys[0], keys[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	r.exchange(SendTo, "cookie, please")
	rotate(Key{2}, Key{1})
	r.moved(Counters{Active: 1, Passive: 1, PassiveAltKey: 1}, func() { r.exchange(SendTo, "old cookie, known") })
	rotate(Key{3})
	r.moved(Counters{PassiveFail: 1, ActiveFail: 1}, func() {
		if client, server := r.exchange(SendTo, "old cookie, unknown"); client.SYNData || server.AcceptInfo.SYNData {
			t.Error("a cookie of a forgotten key was accepted")
		}
	})
	r.moved(Counters{Active: 1, Passive: 1}, func() { r.exchange(SendTo, "new cookie") })
}

func TestListenersOwnKey(t *testing.T) {
	r := newRig(t, ServerConfig{FastOpen: 16, Keys: []Key{{7}, {8}}})
	r.exchange(SendTo, "cookie, please")
	if err := SetKeys(r.ns, Key{9}); err != nil {
		t.Fatal(err)
	}
	r.moved(Counters{Active: 1, Passive: 1}, func() { r.exchange(SendTo, "still good") })
}

func TestNoCookie(t *testing.T) {
	r := newRig(t, ServerConfig{FastOpen: 16, Handler: Sink})
	if err := r.ns.SetSysctl("net.ipv4.tcp_fastopen", "519"); err != nil { // 1, 2, 4 and 0x200
		t.Fatal(err)
	}
	c, err := Dial(r.ctx, r.ns, ClientConfig{
		Remote: r.srv.Addr(), Local: netip.MustParseAddrPort("127.0.0.5:0"), Method: SendTo, NoCookie: true, Data: []byte("at once"),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := r.srv.Accepted(r.ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	if !got.AcceptInfo.SYNData || got.Remote.Addr().String() != "127.0.0.5" {
		t.Errorf("%+v", got)
	}
}

func TestAnswerAndRecords(t *testing.T) {
	r := newRig(t, ServerConfig{Handler: Answer(3, []byte("answer"))})
	c, err := Dial(r.ctx, r.ns, ClientConfig{Remote: r.srv.Addr(), Data: []byte("onetwo")})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := make([]byte, 12)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "answeranswer" {
		t.Errorf("%q, %v", got, err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Error(err)
	}
	if _, err := r.srv.Finished(r.ctx, 0); err != nil {
		t.Error(err)
	}
	if all := r.srv.Records(); len(all) != 1 || !bytes.Equal(all[0].Received, []byte("onetwo")) {
		t.Errorf("%+v", all)
	}
}

func TestReset(t *testing.T) {
	r := newRig(t, ServerConfig{Handler: Reset})
	c, err := Dial(r.ctx, r.ns, ClientConfig{Remote: r.srv.Addr(), Data: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v", err)
	}
}

func TestDialFails(t *testing.T) {
	r := newRig(t, ServerConfig{})
	free := r.srv.Addr()
	if err := r.srv.Close(); err != nil {
		t.Fatal(err)
	}
	for _, method := range []Method{Plain, SendTo, Deferred} {
		if _, err := Dial(r.ctx, r.ns, ClientConfig{Remote: free, Method: method, Data: []byte("x")}); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("method %d: %v", method, err)
		}
	}
	// No route leads there: the namespace has nothing but lo.
	if _, err := Dial(r.ctx, r.ns, ClientConfig{Remote: netip.MustParseAddrPort("192.0.2.1:80")}); !errors.Is(err, syscall.ENETUNREACH) {
		t.Errorf("no route: %v", err)
	}
}

// A listener whose queue is full does not answer: the context has to end it.
func TestDialEndsWithItsContext(t *testing.T) {
	ns := netnstest.New(t)
	var fd int
	if err := ns.Do(func() (err error) { fd, err = listenFull(); return err }); err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	remote := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(sa.(*syscall.SockaddrInet4).Port))
	// The queue takes one connection, and then drops SYNs.
	first, err := Dial(t.Context(), ns, ClientConfig{Remote: remote})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	result := make(chan error, 1)
	go func() {
		_, err := Dial(ctx, ns, ClientConfig{Remote: remote})
		result <- err
	}()
	cancel(why)
	if err := <-result; !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

func listenFull() (int, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	return fd, errors.Join(
		syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
		syscall.Listen(fd, 0))
}

func TestServerCloseEndsEverything(t *testing.T) {
	r := newRig(t, ServerConfig{})
	c, err := Dial(r.ctx, r.ns, ClientConfig{Remote: r.srv.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := r.srv.Accepted(r.ctx, 0); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := r.srv.Accepted(r.ctx, 1)
		waiting <- err
	}()
	for range 2 {
		if err := r.srv.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-waiting; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a waiter got %v", err)
	}
	if rec, err := r.srv.Finished(r.ctx, 0); err != nil || rec.Err != nil {
		t.Errorf("%+v, %v", rec, err)
	}
}

func TestAcceptedEndsWithItsContext(t *testing.T) {
	r := newRig(t, ServerConfig{})
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	if _, err := r.srv.Accepted(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestListenFails(t *testing.T) {
	ns := netnstest.New(t)
	for name, cfg := range map[string]ServerConfig{
		"no such address": {Address: netip.MustParseAddrPort("192.0.2.1:80")},
		"bad key":         {Address: netip.MustParseAddrPort("127.0.0.1:0"), FastOpen: 1, Keys: make([]Key, 3)},
	} {
		if s, err := Listen(ns, cfg); err == nil {
			s.Close()
			t.Errorf("%s: no error", name)
		}
	}
}
