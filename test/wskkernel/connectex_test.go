package wskkernel

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/covers"
	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/netns/netnstest"
	"github.com/wskstack/wskstack/test/relay"
	"github.com/wskstack/wskstack/test/wire"
	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/await"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/onstack"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

const patience = 30 * time.Second

// A rig is the kernel's TCP server and a stack on one wire, with a record of the
// packets.
type rig struct {
	t      *testing.T
	family int
	wire   *wire.Wire
	record relay.Recorder
	stack  *stack.Stack
}

func newRig(t *testing.T, family int) *rig {
	t.Helper()
	w, err := wire.Open(wire.TUN, wire.Config{MTU: 1500})
	netnstest.Require(t, err)
	r := &rig{t: t, family: family, wire: w}
	t.Cleanup(func() { check(t, w.Close()) })
	check(t, kernelpeer.EnableFastOpen(w.Namespace))
	link, err := relay.New(w.Link, relay.Config{Observe: r.record.Observe})
	check(t, err)
	r.stack, err = stack.New(stack.Config{Link: link, Addresses: w.StackAddresses})
	check(t, err)
	t.Cleanup(func() { check(t, r.stack.Close()) })
	return r
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var (
	modes = map[string]wsk.CompletionMode{
		"later": wsk.CompleteLater, "inline": wsk.CompleteInline, "random": wsk.CompleteRandom,
	}
	categories = map[string]uint32{"connection": wsk.FlagConnectionSocket, "stream": wsk.FlagStreamSocket}
)

// TestConnectExCarriesItsBufferInTheSYN is what WskConnectEx is for: with TCP_FASTOPEN
// and a cookie from an earlier connection the buffer leaves in the SYN.
func TestConnectExCarriesItsBufferInTheSYN(t *testing.T) {
	covers.IDs(t, "P2", "B-11")
	for _, family := range []int{4, 6} {
		r := newRig(t, family)
		for category, flag := range categories {
			for name, mode := range modes {
				t.Run(fmt.Sprintf("IPv%d/%s/%s", family, category, name), func(t *testing.T) {
					for _, size := range []int{1, 1000, wsk.MaxConnectData} {
						r.stack.FastOpen().Forget()
						c := r.register(t, mode, flag)
						c.conversation(size)
					}
				})
			}
		}
	}
}

// TestWithoutTheOption is the twin: no TCP_FASTOPEN, no data in any SYN, though there
// is a cookie.
func TestWithoutTheOption(t *testing.T) {
	covers.IDs(t, "P2")
	for _, family := range []int{4, 6} {
		r := newRig(t, family)
		c := r.register(t, wsk.CompleteLater, wsk.FlagConnectionSocket)
		srv := c.server(100)
		data := text(100)
		c.exchange(srv.Addr(), data, true) // brings the cookie
		before := c.counters()
		r.record.Reset()
		c.exchange(srv.Addr(), data, false)
		if got := c.counters().Since(before); got != (kernelpeer.Counters{}) {
			t.Errorf("the kernel counted %+v", got)
		}
		for _, s := range r.syns() {
			if _, tfoOption := tfo.ParseOption(s); tfoOption || len(s.Payload()) > 0 {
				t.Errorf("a SYN has a Fast Open option, or %d bytes", len(s.Payload()))
			}
		}
	}
}

// client is a registered client of a provider on the rig's stack.
type client struct {
	*rig
	t        *testing.T
	mode     wsk.CompletionMode
	flag     uint32 // the category of its sockets
	provider *wsk.Provider
	reg      wsk.Registration
	npi      wsk.ProviderNPI
}

func (r *rig) register(t *testing.T, mode wsk.CompletionMode, flag uint32) *client {
	t.Helper()
	c := &client{rig: r, t: t, mode: mode, flag: flag, provider: wsktest.NewStrictProvider(t)}
	c.provider.SetCompletionMode(mode, 1)
	check(t, c.provider.Start(onstack.Network(r.stack)))
	npi := wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: wsk.MakeVersion(1, 0)}}
	if st := c.provider.Register(&npi, &c.reg); st != ntstatus.Success {
		t.Fatal(st)
	}
	if st := c.reg.CaptureProviderNPI(wsk.InfiniteWait, &c.npi); st != ntstatus.Success {
		t.Fatal(st)
	}
	t.Cleanup(c.end)
	return c
}

// end releases and deregisters, which waits for everything, but not for ever: a test
// that has failed has left its sockets open.
func (c *client) end() {
	c.t.Helper()
	c.reg.ReleaseProviderNPI()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.reg.DeregisterContext(ctx); err != nil {
		c.t.Error(err)
	}
	c.provider.Stop()
}

// socket is what both categories have.
type socket interface {
	ControlSocket(wsk.ControlType, uint32, uint32, []byte, []byte, *uint64, *irp.IRP) ntstatus.Status
	CloseSocket(*irp.IRP) ntstatus.Status
	Bind(*wsk.SockAddr, uint32, *irp.IRP) ntstatus.Status
	ConnectEx(*wsk.SockAddr, *wsk.Buf, uint32, *irp.IRP) ntstatus.Status
	Receive(*wsk.Buf, uint32, *irp.IRP) ntstatus.Status
	Disconnect(*wsk.Buf, uint32, *irp.IRP) ntstatus.Status
}

// do is a request that must succeed. One that can be done at once is done before the
// call returns, or not, as the mode says.
func (c *client) do(atOnce bool, submit func(i *irp.IRP) ntstatus.Status) irp.StatusBlock {
	c.t.Helper()
	call := await.Start(submit)
	inline := call.Returned() == ntstatus.Success
	if want := c.mode == wsk.CompleteInline; atOnce && inline != want && c.mode != wsk.CompleteRandom {
		c.t.Errorf("completed before the return: %v, want %v", inline, want)
	}
	result := call.Await(patience)
	if result.Status != ntstatus.Success {
		c.t.Fatalf("completed with %v", result.Status)
	}
	return result
}

// exchange lives one connection through: options, bind, ConnectEx with data, the
// answer, disconnect, close.
func (c *client) exchange(to netip.AddrPort, data []byte, fastOpen bool) {
	c.t.Helper()
	family := addressFamily[c.family]
	s := c.do(true, func(i *irp.IRP) ntstatus.Status {
		return c.npi.Dispatch.Socket(c.npi.Client, family, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, c.flag, nil, nil, i)
	}).Object.(socket)
	if fastOpen {
		c.do(true, func(i *irp.IRP) ntstatus.Status {
			return s.ControlSocket(wsk.SetOption, wsk.TCP_FASTOPEN, wsk.IPPROTO_TCP, []byte{1, 0, 0, 0}, nil, nil, i)
		})
	}
	c.do(true, func(i *irp.IRP) ntstatus.Status { return s.Bind(&wsk.SockAddr{Family: family}, 0, i) })
	remote := wsk.SockAddrFrom(to)
	// In two pieces, and not from the begin of the first.
	buf := wsk.NewBuf(append([]byte("--"), data[:len(data)/2]...), data[len(data)/2:])
	buf.Offset, buf.Length = 2, uint64(len(data))
	if n := c.do(false, func(i *irp.IRP) ntstatus.Status { return s.ConnectEx(&remote, buf, 0, i) }).Information; int(n) != len(data) {
		c.t.Errorf("ConnectEx sent %d bytes of %d", n, len(data))
	}
	answer := make([]byte, 6)
	c.do(false, func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(answer), wsk.FlagWaitAll, i) })
	if string(answer) != "answer" {
		c.t.Errorf("received %q", answer)
	}
	c.do(false, func(i *irp.IRP) ntstatus.Status { return s.Disconnect(nil, 0, i) })
	if n := c.do(false, func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(answer), 0, i) }).Information; n != 0 {
		c.t.Errorf("%d bytes behind the answer", n)
	}
	c.do(false, s.CloseSocket)
}

// server is a server of the kernel's that answers n bytes.
func (c *client) server(n int) *kernelpeer.Server {
	c.t.Helper()
	srv, err := kernelpeer.Listen(c.wire.Namespace, kernelpeer.ServerConfig{
		Address: netip.AddrPortFrom(c.wire.PeerAddr(c.family), 0), FastOpen: 16, Handler: kernelpeer.Answer(n, []byte("answer")),
	})
	check(c.t, err)
	c.t.Cleanup(func() { check(c.t, srv.Close()) })
	return srv
}

func (c *client) counters() kernelpeer.Counters {
	c.t.Helper()
	n, err := kernelpeer.ReadCounters(c.wire.Namespace)
	check(c.t, err)
	return n
}

// conversation makes a connection that brings the cookie, and one that uses it, and
// asks the kernel and the wire what they have seen.
func (c *client) conversation(size int) {
	c.t.Helper()
	srv, data := c.server(size), text(size)
	for round, want := range []kernelpeer.Counters{{CookieReqd: 1}, {Passive: 1}} {
		before := c.counters()
		c.record.Reset()
		c.exchange(srv.Addr(), data, true)
		if got := c.counters().Since(before); got != want {
			c.t.Errorf("the kernel counted %+v, want %+v", got, want)
		}
		c.packets(round == 1, data)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		rec, err := srv.Finished(ctx, round)
		cancel()
		check(c.t, err)
		if !bytes.Equal(rec.Received, data) {
			c.t.Errorf("the kernel received %d bytes, want %d, or other ones", len(rec.Received), size)
		}
		if rec.AcceptInfo.SYNData != (round == 1) {
			c.t.Errorf("the kernel says %+v", rec.AcceptInfo)
		}
	}
}

// packets judges the connection's SYN: with a cookie it carries the begin of the data,
// as much as fits, without it none. What the SYN carried is not sent again, unless the
// SYN itself was: a busy machine may let its timer run out.
func (c *client) packets(cookie bool, data []byte) {
	c.t.Helper()
	syns := c.syns()
	if len(syns) == 0 {
		c.t.Fatal("no SYN on the wire")
	}
	for _, again := range syns[1:] {
		if again.Seq() != syns[0].Seq() || again.Src() != syns[0].Src() {
			c.t.Errorf("another connection's SYN, from %v", again.Src())
		}
	}
	c.onlyOnce(syns)
	o, ok := tfo.ParseOption(syns[0])
	if !ok || o.Cookie.Empty() == cookie {
		c.t.Errorf("the SYN's Fast Open option: %v %v", ok, o)
	}
	want := []byte(nil)
	if cookie {
		room := map[int]int{4: 1420, 6: 1400}[c.family] // MTU 1500 less headers and the options of a SYN
		want = data[:min(len(data), room)]
	}
	if got := syns[0].Payload(); !bytes.Equal(got, want) {
		c.t.Errorf("%d bytes in the SYN, want %d, or other ones", len(got), len(want))
	}
}

// onlyOnce has no other segment carry what the one SYN carried.
func (c *client) onlyOnce(syns []seg.Segment) {
	c.t.Helper()
	if len(syns) != 1 {
		return
	}
	for _, s := range c.ours() {
		if !s.Flags().Has(seg.SYN) && len(s.Payload()) > 0 && s.Seq().LessThan(syns[0].End()) {
			c.t.Error("what the SYN carried was sent again behind it")
		}
	}
}

// syns are the SYNs of ours on the wire since the record was reset.
func (r *rig) syns() []seg.Segment {
	return slices.DeleteFunc(r.ours(), func(s seg.Segment) bool { return s.Flags()&(seg.SYN|seg.ACK) != seg.SYN })
}

// ours are our segments on the wire since the record was reset.
func (r *rig) ours() []seg.Segment {
	var all []seg.Segment
	for _, e := range r.record.Events() {
		s, err := seg.Parse(e.Bytes)
		if err == nil && e.Direction == relay.Down && e.Place == relay.AtWire {
			all = append(all, s)
		}
	}
	return all
}

func text(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + i*7%26)
	}
	return b
}
