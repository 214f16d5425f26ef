package stack_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/seg"
)

// book is a resolver with the addresses of one name.
type book struct {
	v4, v6     []netip.Addr
	err4, err6 error
	wait6      chan struct{} // if not nil, the answer about IPv6 waits for it

	mu    sync.Mutex
	asked []string
}

func (b *book) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	b.mu.Lock()
	b.asked = append(b.asked, network+" "+host)
	b.mu.Unlock()
	if network == "ip4" {
		return b.v4, b.err4
	}
	if b.wait6 != nil {
		select {
		case <-b.wait6:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return b.v6, b.err6
}

func addrs(text ...string) (all []netip.Addr) {
	for _, a := range text {
		all = append(all, netip.MustParseAddr(a))
	}
	return all
}

var notFound = &net.DNSError{Err: "no such host", Name: "server", IsNotFound: true}

// TestDialByName has names whose addresses are good, bad, late and missing. 10.0.0.99
// and fd00::99 are nobody's: a SYN to them is never answered.
func TestDialByName(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	l, err := b.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	for name, tt := range map[string]struct {
		book    *book
		network string
		want    string // whose address wins
		is      error
	}{
		"both":                      {book: &book{v4: addrs("10.0.0.2"), v6: addrs("fd00::2")}, want: "fd00::2"},
		"IPv4 alone":                {book: &book{v4: addrs("10.0.0.2"), err6: notFound}, want: "10.0.0.2"},
		"IPv6 alone":                {book: &book{v6: addrs("fd00::2"), err4: notFound}, want: "fd00::2"},
		"asked for IPv4":            {network: "tcp4", book: &book{v4: addrs("10.0.0.2"), v6: addrs("fd00::2")}, want: "10.0.0.2"},
		"asked for IPv6":            {network: "tcp6", book: &book{v4: addrs("10.0.0.2"), v6: addrs("fd00::2")}, want: "fd00::2"},
		"IPv6 is dead":              {book: &book{v4: addrs("10.0.0.2"), v6: addrs("fd00::99", "fd00::98")}, want: "10.0.0.2"},
		"all but the last are dead": {book: &book{v4: addrs("10.0.0.99", "10.0.0.98", "10.0.0.2"), err6: notFound}, want: "10.0.0.2"},
		"IPv6 has no route":         {book: &book{v4: addrs("10.0.0.2"), v6: addrs("ff0e::1")}, want: "10.0.0.2"},
		"the answer about IPv6 is late": {
			book: &book{v4: addrs("10.0.0.2"), v6: addrs("fd00::2"), wait6: make(chan struct{})}, want: "10.0.0.2"},
		"IPv4 in IPv6 form":  {book: &book{v4: addrs("::ffff:10.0.0.2"), err6: notFound}, want: "10.0.0.2"},
		"no such name":       {book: &book{err4: notFound, err6: notFound}, is: notFound},
		"no answer":          {book: &book{err4: syscall.ENETDOWN, err6: notFound}, is: syscall.ENETDOWN},
		"no address":         {book: new(book), is: errors.New("no suitable address found")},
		"all are refused":    {book: &book{v4: addrs("10.0.0.1"), v6: addrs("fd00::1")}, is: syscall.ECONNREFUSED},
		"all have no routes": {book: &book{v4: addrs("224.0.0.1"), v6: addrs("ff0e::1")}, is: syscall.ENETUNREACH},
	} {
		t.Run(name, func(t *testing.T) {
			network := tt.network
			if network == "" {
				network = "tcp"
			}
			d := stack.Dialer{Stack: a, Resolver: tt.book}
			ctx, cancel := context.WithTimeout(t.Context(), guard)
			defer cancel()
			c, err := d.DialContext(ctx, network, fmt.Sprintf("server:%d", port))
			var op *net.OpError
			if tt.want == "" {
				if !errors.As(err, &op) || op.Op != "dial" || op.Net != network {
					t.Fatalf("%v", err)
				}
				var address *net.AddrError
				if !errors.Is(err, tt.is) && !(errors.As(err, &address) && address.Err == tt.is.Error()) {
					t.Errorf("%v is not %v", err, tt.is)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(); got != netip.MustParseAddr(tt.want) {
				t.Errorf("%v won", got)
			}
			s := acceptTCP(t, l.(*stack.TCPListener))
			if _, _, err := c.Close(), s.Close(), error(nil); err != nil {
				t.Error(err)
			}
		})
	}
	if n := a.Stats().Established; n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

// TestDialWithoutFallback tries the next address only when one has failed.
func TestDialWithoutFallback(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	l, err := b.Listen("tcp4", ":0")
	if err != nil {
		t.Fatal(err)
	}
	at := fmt.Sprintf("server:%d", l.Addr().(*net.TCPAddr).Port)
	d := stack.Dialer{Stack: a, FallbackDelay: -1, Timeout: time.Second,
		Resolver: &book{v4: addrs("10.0.0.2"), v6: addrs("fd00::99")}}
	if _, err := d.Dial("tcp", at); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the first is dead: %v", err)
	}
	d.Timeout, d.Resolver = 0, &book{v4: addrs("10.0.0.2"), v6: addrs("fd00::2")} // refused
	c, err := d.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}

// TestDialTakesTurns has four addresses that refuse: the families take turns, and IPv6
// begins (RFC 8305 §4).
func TestDialTakesTurns(t *testing.T) {
	r := newRig(t, stack.Config{})
	d := stack.Dialer{Stack: r.stack, FallbackDelay: -1, FastOpen: fastopen.ModeOff,
		Resolver: &book{v4: addrs("10.0.0.8", "10.0.0.9"), v6: addrs("fd00::8", "fd00::9")}}
	over := make(chan error, 1)
	go func() { over <- second(d.Dial("tcp", "server:80")) }()
	var got []string
	for range 4 {
		syn := r.wait()
		got = append(got, syn.Dst().Addr().String())
		stacks(t, "both answers", func(all []string) bool {
			asks := slices.ContainsFunc(all, func(g string) bool { return strings.Contains(g, "stack.(*Dialer).lookUp(") })
			return !asks && slices.ContainsFunc(all, func(g string) bool {
				return strings.Contains(g, "[select") && strings.Contains(g, "stack.(*racing).run(")
			})
		})
		r.answer(syn, seg.RST|seg.ACK, 0, syn.End(), nil, nil)
	}
	if err := <-over; !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v", err)
	}
	if want := []string{"fd00::8", "10.0.0.8", "fd00::9", "10.0.0.9"}; !slices.Equal(got, want) {
		t.Errorf("tried %v, want %v", got, want)
	}
}

// TestDialAsksOnlyForWhatItHas has a stack without IPv6.
func TestDialAsksOnlyForWhatItHas(t *testing.T) {
	r := newRig(t, stack.Config{})
	for network, want := range map[string][]string{
		"tcp": {"ip4 server", "ip6 server"}, "tcp4": {"ip4 server"}, "tcp6": {"ip6 server"}, "udp4": {"ip4 server"},
	} {
		b := &book{err4: notFound, err6: notFound}
		d := stack.Dialer{Stack: r.stack, Resolver: b}
		if _, err := d.Dial(network, "server:1"); !errors.Is(err, notFound) {
			t.Errorf("%s: %v", network, err)
		}
		if slices.Sort(b.asked); !slices.Equal(b.asked, want) {
			t.Errorf("%s asks for %q, want %q", network, b.asked, want)
		}
	}
}

// TestDialDataGoesWithTheFirst has a name with two addresses and cookies for both: the
// first's SYN has the data, the second's has none, and the winner gets it once.
func TestDialDataGoesWithTheFirst(t *testing.T) {
	r := withCookie(t, stack.Config{})
	e := endpoint(t, r.stack, "tcp4")
	r.peer = netip.MustParseAddrPort("10.0.0.3:80")
	r.dial(e, stack.ConnectOptions{FastOpen: fastopen.ModeOn}, 100, cookie)
	if err := connected(t, e); err != nil {
		t.Fatal(err)
	}
	e.Abort()
	r.all()
	r.peer = rigPeer
	d := stack.Dialer{Stack: r.stack, KeepAlive: -1, FastOpen: fastopen.ModeOn,
		Resolver: &book{v4: []netip.Addr{r.peer.Addr(), netip.MustParseAddr("10.0.0.3")}, err6: notFound}}
	won := make(chan net.Conn, 1)
	go func() {
		c, err := d.DialContextData(t.Context(), "tcp", "server:80", []byte("hello"))
		if err != nil {
			t.Error(err)
		}
		won <- c
	}()
	first := r.wait()
	if string(first.Payload()) != "hello" || first.Dst() != r.peer {
		t.Errorf("first %v with %q", describe(first), first.Payload())
	}
	var next seg.Segment
	for limit := time.Now().Add(guard); !next.Valid(); {
		r.clock.Advance(time.Millisecond)
		for _, s := range r.all() {
			if s.Dst() != r.peer { // the clock may be ahead of who dials: the first SYN is then repeated
				next = s
			}
		}
		if time.Now().After(limit) {
			t.Fatal("the second address is not tried")
		}
	}
	if len(next.Payload()) != 0 || next.Dst().Addr() != netip.MustParseAddr("10.0.0.3") {
		t.Errorf("then %v with %q", describe(next), next.Payload())
	}
	r.answer(next, seg.SYN|seg.ACK, 100, next.Seq().Add(1), nil, nil)
	c := <-won
	if got := c.RemoteAddr().String(); got != "10.0.0.3:80" {
		t.Errorf("%v won", got)
	}
	var sent []byte
	for _, s := range r.all() {
		if s.Dst() == next.Dst() {
			sent = append(sent, s.Payload()...)
		}
	}
	if string(sent) != "hello" {
		t.Errorf("the winner got %q", sent)
	}
	_ = c.(*stack.TCPConn).SetLinger(0)
	_ = c.Close()
}

// TestDialEnds cancels dials, with a cause, at each point where they can be; nothing is
// left of them.
func TestDialEnds(t *testing.T) {
	why := errors.New("changed my mind")
	dead := &book{v4: addrs("10.0.0.99"), v6: addrs("fd00::99")}
	for name, tt := range map[string]struct {
		resolver stack.Resolver
		address  string
		data     []byte
		dialer   stack.Dialer
	}{
		"while a name is looked up":          {address: "server:1", resolver: stubborn{}},
		"while one address does not answer":  {address: "10.0.0.99:1"},
		"while it has data for it":           {address: "10.0.0.99:1", data: pattern(100)},
		"from a port of its own":             {address: "10.0.0.99:1", dialer: stack.Dialer{LocalAddr: &net.TCPAddr{Port: 999}}},
		"while many addresses do not answer": {address: "server:1", resolver: dead},
		"while a packet's name is looked up": {address: "udp", resolver: stubborn{}},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := pair(t, stack.Config{}, stack.Config{})
			d := tt.dialer
			d.Stack, d.Resolver = a, tt.resolver
			ctx, cancel := context.WithCancelCause(t.Context())
			over := make(chan error, 1)
			network, address := "tcp", tt.address
			if address == "udp" {
				network, address = "udp", "server:1"
			}
			go func() {
				_, err := d.DialContextData(ctx, network, address, tt.data)
				over <- err
			}()
			if network == "tcp" {
				waiting(t, 1)
			}
			cancel(why)
			err := <-over
			var op *net.OpError
			if !errors.Is(err, context.Canceled) || !errors.Is(err, why) || !errors.As(err, &op) || op.Timeout() {
				t.Errorf("%v", err)
			}
			if n := a.Stats().Sockets; n != 0 {
				t.Errorf("%d sockets are left", n)
			}
		})
	}
}

// TestDialGivesUpWhileItHandsOver has a peer that takes only a part of the data.
func TestDialGivesUpWhileItHandsOver(t *testing.T) {
	w := newCloses(t)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() {
		d := stack.Dialer{Stack: w.a}
		_, err := d.DialContextData(ctx, "tcp", w.l.Addr().String(), make([]byte, 64<<20))
		over <- err
	}()
	s := acceptTCP(t, w.l.(*stack.TCPListener))
	if _, err := s.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-over; !errors.Is(err, context.Canceled) {
		t.Errorf("the dial: %v", err)
	}
	if _, err := io.Copy(io.Discard, s); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the peer: %v", err)
	}
}

// TestDialTimesOut by each of the limits.
func TestDialTimesOut(t *testing.T) {
	a, _ := pair(t, stack.Config{ConnectTimeout: 50 * time.Millisecond}, stack.Config{})
	for name, tt := range map[string]struct {
		context time.Duration // 0: no limit
		dialer  stack.Dialer
		is      error
	}{
		"the context's":                    {context: time.Millisecond, is: context.DeadlineExceeded},
		"Timeout":                          {dialer: stack.Dialer{Timeout: time.Millisecond}, is: os.ErrDeadlineExceeded},
		"Deadline":                         {dialer: stack.Dialer{Deadline: past}, is: os.ErrDeadlineExceeded},
		"the stack's":                      {is: syscall.ETIMEDOUT},
		"the context's, after the stack's": {context: 200 * time.Millisecond, is: context.DeadlineExceeded},
		"that, dialled lazily":             {context: 200 * time.Millisecond, dialer: stack.Dialer{Lazy: true}, is: context.DeadlineExceeded},
	} {
		tt.dialer.Stack = a
		ctx, cancel := t.Context(), func() {}
		if tt.context > 0 {
			ctx, cancel = context.WithTimeout(ctx, tt.context)
		}
		_, err := tt.dialer.DialContext(ctx, "tcp", "10.0.0.99:1")
		cancel()
		var op *net.OpError
		if !errors.Is(err, tt.is) || !errors.As(err, &op) || !op.Timeout() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDialWithAddrPorts has the variants whose addresses are no text.
func TestDialWithAddrPorts(t *testing.T) {
	a, b := pair(t, stack.Config{}, stack.Config{})
	lc := stack.ListenConfig{Stack: b}
	l, err := lc.ListenTCP("tcp", netip.AddrPort{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lc.ListenPacket(t.Context(), "udp", ""); err == nil {
		t.Error("ListenPacket without a port")
	}
	p, err := lc.ListenPacket(t.Context(), "udp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	tcpPort, udpPort := l.Addr().(*net.TCPAddr).AddrPort().Port(), p.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	d := stack.Dialer{Stack: a}
	for name, tt := range map[string]struct {
		network      string
		local        netip.AddrPort
		remote       string
		is           error
		wrongAddress bool
	}{
		"IPv4":               {network: "tcp", remote: "10.0.0.2"},
		"IPv6":               {network: "tcp6", remote: "fd00::2"},
		"IPv4 in IPv6 form":  {network: "tcp4", remote: "::ffff:10.0.0.2"},
		"with a zone":        {network: "tcp", remote: "fd00::2%eth0"},
		"from a port":        {network: "tcp", remote: "10.0.0.2", local: netip.MustParseAddrPort("10.0.0.1:777")},
		"from any address":   {network: "tcp", remote: "10.0.0.2", local: netip.MustParseAddrPort("0.0.0.0:778")},
		"udp":                {network: "udp", remote: "10.0.0.2"},
		"udp over IPv6":      {network: "udp6", remote: "fd00::2"},
		"udp from a port":    {network: "udp", remote: "10.0.0.2", local: netip.MustParseAddrPort("10.0.0.1:777")},
		"the wrong family":   {network: "tcp4", remote: "fd00::2", wrongAddress: true},
		"udp, wrong family":  {network: "udp6", remote: "10.0.0.2", wrongAddress: true},
		"no such network":    {network: "tcp9", remote: "10.0.0.2", is: net.UnknownNetworkError("tcp9")},
		"another network":    {network: "ping", remote: "10.0.0.2", is: net.UnknownNetworkError("ping")},
		"from another's":     {network: "tcp", remote: "10.0.0.2", local: netip.MustParseAddrPort("10.9.9.9:0"), is: syscall.EADDRNOTAVAIL},
		"mixed families":     {network: "tcp", remote: "10.0.0.2", local: netip.MustParseAddrPort("[fd00::1]:0"), is: syscall.EAFNOSUPPORT},
		"a multicast group":  {network: "tcp", remote: "224.0.0.1", is: syscall.ENETUNREACH},
		"the broadcast":      {network: "tcp", remote: "255.255.255.255", is: syscall.EACCES},
		"a loopback address": {network: "tcp", remote: "127.0.0.1", is: syscall.ENETUNREACH},
	} {
		t.Run(name, func(t *testing.T) {
			var c net.Conn
			var err error
			if tt.network[:3] == "udp" {
				c, err = d.DialUDP(t.Context(), tt.network, tt.local, netip.AddrPortFrom(netip.MustParseAddr(tt.remote), udpPort))
			} else {
				c, err = d.DialTCP(t.Context(), tt.network, tt.local, netip.AddrPortFrom(netip.MustParseAddr(tt.remote), tcpPort))
			}
			var op *net.OpError
			var address *net.AddrError
			switch {
			case tt.is == nil && !tt.wrongAddress:
				if err != nil {
					t.Fatal(err)
				}
				local := c.LocalAddr().String()
				if want := tt.local; want.IsValid() && netip.MustParseAddrPort(local).Port() != want.Port() {
					t.Errorf("from %v, want %v", local, want)
				}
				_ = c.Close()
			case !errors.As(err, &op), tt.is != nil && !errors.Is(err, tt.is), tt.wrongAddress && !errors.As(err, &address):
				t.Errorf("%v, want %v", err, tt.is)
			}
		})
	}
	if _, err := (&stack.Dialer{}).Dial("tcp", "10.0.0.2:1"); err == nil {
		t.Error("dialled without a stack")
	}
	if _, err := (&stack.ListenConfig{}).Listen(t.Context(), "tcp", ":1"); err == nil {
		t.Error("listens without a stack")
	}
	var none context.Context
	for name, err := range map[string]error{
		"DialContext":  second(d.DialContext(none, "tcp", "10.0.0.2:1")),
		"DialTCP":      second(d.DialTCP(none, "tcp", netip.AddrPort{}, rigPeer)),
		"DialUDP":      second(d.DialUDP(none, "udp", netip.AddrPort{}, rigPeer)),
		"Listen":       second(lc.Listen(none, "tcp", ":0")),
		"ListenPacket": second(lc.ListenPacket(none, "udp", ":0")),
		"Ping":         second(a.Ping(none, "10.0.0.2")),
		"CapturePcap":  second(a.CapturePcap(none, io.Discard)),
	} {
		var op *net.OpError
		if !errors.As(err, &op) && (name != "CapturePcap" || err == nil) {
			t.Errorf("%s with a nil context: %v", name, err)
		}
	}
}
