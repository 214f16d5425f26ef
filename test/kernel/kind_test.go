package kernel

import (
	"sync/atomic"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/covers"
	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/relay"
)

// ahead is a clock that can be set forward.
type ahead struct {
	tcpip.Clock
	by atomic.Int64 // nanoseconds
}

func (a *ahead) NowMonotonic() tcpip.MonotonicTime {
	return a.Clock.NowMonotonic().Add(time.Duration(a.by.Load()))
}

// kinds are the option kinds in the SYNs of a direction since the last call, or in the
// answers to them.
func (r *rig) kinds(d relay.Direction, flags seg.Flags) (all []tfo.Kind) {
	for _, e := range r.record.Reset() {
		s, err := seg.Parse(e.Bytes)
		if err != nil || e.Direction != d || e.Place != relay.AtStack || s.Flags()&(seg.SYN|seg.ACK) != flags {
			continue
		}
		if o, ok := tfo.ParseOption(s); ok {
			all = append(all, o.Kind)
		}
	}
	return all
}

func (r *rig) wantKind(d relay.Direction, want tfo.Kind) {
	r.t.Helper()
	if got := r.kinds(d, seg.SYN); len(got) != 1 || got[0] != want {
		r.t.Errorf("SYNs with options of the kinds %v, want one of %v", got, want)
	}
}

// A kernel that does not seem to know kind 34 is asked once in the experimental form,
// and its cookie used in that.
func TestKind254ToTheKernel(t *testing.T) {
	covers.IDs(t, "B-11", "C-53")
	for family, name := range map[int]string{4: "IPv4", 6: "IPv6"} {
		t.Run(name, func(t *testing.T) {
			clock := &ahead{Clock: tcpip.NewStdClock()}
			r := newRigWith(t, family, 1500, func(c *stack.Config) { c.FastOpen.Clock = clock })
			srv := r.listen(16, 100)
			r.relay.SetFilter(relay.Up, relay.On(relay.SYNACK, relay.StripFastOpen))
			r.exchange(srv.Addr(), text(100))
			r.wantKind(relay.Down, tfo.KindFO)
			r.relay.SetFilter(relay.Up, nil)
			clock.by.Store(int64(time.Hour)) // it is not asked again at once (C-43)
			r.exchange(srv.Addr(), text(100))
			r.wantKind(relay.Down, tfo.KindExp)
			before := r.counters()
			r.want(r.exchange(srv.Addr(), text(100)), 100, 100, none)
			r.wantKind(relay.Down, tfo.KindExp)
			if got := r.counters().Since(before); got != (kernelpeer.Counters{Passive: 1}) {
				t.Errorf("the kernel counted %+v", got)
			}
		})
	}
}

// The same the other way round.
func TestKind254FromTheKernel(t *testing.T) {
	covers.IDs(t, "B-11", "S-04")
	families(t, func(t *testing.T, r *rig) {
		s := r.service(16, fastopen.ListenConfig{})
		r.relay.SetFilter(relay.Up, relay.On(relay.SYN, relay.StripFastOpen))
		s.serve(hello)
		r.relay.SetFilter(relay.Up, nil)
		r.record.Reset()
		s.serve(hello)
		r.wantKind(relay.Up, tfo.KindExp)
		before := r.counters()
		if info := s.serve(hello); !info.SYNData {
			t.Errorf("the kernel says %+v", info)
		}
		r.wantKind(relay.Up, tfo.KindExp)
		if got := r.counters().Since(before); got != (kernelpeer.Counters{Active: 1}) {
			t.Errorf("the kernel counted %+v", got)
		}
		if n := s.tfo.Stats(); n.TCPFastOpenPassive != 1 || n.TCPFastOpenCookieReqd != 1 {
			t.Errorf("we counted %+v", n)
		}
	})
}
