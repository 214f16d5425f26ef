package kernel

import (
	"net/netip"
	"sync/atomic"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/link/nested"
	"gvisor.dev/gvisor/pkg/tcpip/link/pipe"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/test/covers"
	"github.com/wskstack/wskstack/test/kernelpeer"
)

// fork is a link with two far ends, as a client has whose server is a fleet behind
// one address. What it sends goes to one of them.
type fork struct {
	nested.Endpoint
	second gstack.LinkEndpoint
	turned atomic.Bool
}

func newFork(first, second gstack.LinkEndpoint) *fork {
	f := &fork{second: second}
	f.Init(first, f)
	return f
}

func (f *fork) Attach(d gstack.NetworkDispatcher) {
	f.Endpoint.Attach(d)
	if d == nil {
		f.second.Attach(nil)
		return
	}
	f.second.Attach(f)
}

func (f *fork) WritePackets(pkts gstack.PacketBufferList) (int, tcpip.Error) {
	if f.turned.Load() {
		return f.second.WritePackets(pkts)
	}
	return f.Endpoint.WritePackets(pkts)
}

func (f *fork) Close() {
	f.Endpoint.Close()
	f.second.Close()
}

func (f *fork) Wait() {
	f.Endpoint.Wait()
	f.second.Wait()
}

// twin is a service of ours at the kernel's address, at the fork's other end.
func (r *rig) twin(link gstack.LinkEndpoint, at netip.AddrPort, keys fastopen.Keys) *service {
	r.t.Helper()
	s, err := stack.New(stack.Config{Link: link, Addresses: []netip.Prefix{netip.PrefixFrom(at.Addr(), at.Addr().BitLen()-8)}})
	check(r.t, err)
	r.t.Cleanup(func() { check(r.t, s.Close()) })
	s.FastOpen().SetKeys(keys)
	return (&rig{t: r.t, family: r.family, stack: s, ctx: r.ctx}).serviceAt(at, 16, fastopen.ListenConfig{})
}

// visit has our client connect to the twin.
func (s *service) visit(r *rig) fastopen.Outcome {
	r.t.Helper()
	c := r.start(s.at, "hello")
	served := s.accept()
	if got := served.read(5); got != "hello" {
		r.t.Errorf("the twin read %q", got)
	}
	check(r.t, c.connected())
	o := c.ep.FastOpenInfo()
	check(r.t, c.ep.Close())
	check(r.t, served.ep.Close())
	return o
}

// A fleet of Linux machines and of these stacks with one key: what one of them
// granted the other honours, in both directions.
func TestCookieOfTheOther(t *testing.T) {
	covers.IDs(t, "S-03", "B-11")
	for _, family := range []int{4, 6} {
		t.Run(map[int]string{4: "IPv4", 6: "IPv6"}[family], func(t *testing.T) {
			here, there := pipe.New("", "", 1500)
			var f *fork
			r := newRigWith(t, family, 1500, func(c *stack.Config) {
				f = newFork(c.Link, here)
				c.Link = f
			})
			keys, err := fastopen.ParseKeys("a0bf63f7-ed803d81-cd641d30-cebc4a90")
			check(t, err)
			check(t, kernelpeer.SetKeys(r.wire.Namespace, kernelpeer.Key(keys.Primary)))
			srv := r.listen(16, 5)
			twin := r.twin(there, srv.Addr(), keys)

			before := r.counters()
			f.turned.Store(true)
			r.want(twin.visit(r), 0, 0, tfo.ReasonNoCookie)
			f.turned.Store(false)
			r.want(r.exchange(srv.Addr(), "hello"), 5, 5, none)
			if got, want := r.counters().Since(before), (kernelpeer.Counters{Passive: 1}); got != want {
				t.Errorf("with our cookie the kernel counted %+v, want %+v", got, want)
			}

			r.stack.FastOpen().Forget()
			r.want(r.exchange(srv.Addr(), "hello"), 0, 0, tfo.ReasonNoCookie)
			f.turned.Store(true)
			r.want(twin.visit(r), 5, 5, none)
			if got := twin.tfo.Stats().ServerStats; got != (fastopen.ServerStats{TCPFastOpenPassive: 1, TCPFastOpenCookieReqd: 1}) {
				t.Errorf("with the kernel's cookie we counted %+v", got)
			}
		})
	}
}
