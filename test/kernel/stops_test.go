package kernel

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/stack/iolink/frame"
	"github.com/wskstack/wskstack/test/covers"
	"github.com/wskstack/wskstack/test/flows"
	"github.com/wskstack/wskstack/tun"
)

// A valve is a device that can be stopped: writes then wait, as on one that is full,
// or are refused.
type valve struct {
	iolink.Device
	refusal error // nil: writes wait

	mu      sync.Mutex
	changed *sync.Cond // on mu
	shut    bool
	held    atomic.Int64 // writes that waited or were refused
}

func newValve(refusal error) *valve {
	v := &valve{refusal: refusal}
	v.changed = sync.NewCond(&v.mu)
	return v
}

func (v *valve) set(shut bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.shut = shut
	v.changed.Broadcast()
}

func (v *valve) Write(queue int, batch []frame.Packet) (int, error) {
	v.mu.Lock()
	for counted := false; v.shut; v.changed.Wait() {
		if !counted {
			v.held.Add(1)
			counted = true
		}
		if v.refusal != nil {
			v.mu.Unlock()
			return 0, v.refusal
		}
	}
	v.mu.Unlock()
	return v.Device.Write(queue, batch)
}

// eventually looks until something is so.
func (l *loaded) eventually(what string, so func() bool) {
	l.t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !so() {
		select {
		case <-look.C:
		case <-l.ctx.Done():
			l.t.Fatalf("never: %s; %+v, %+v", what, l.link.Stats(), l.dev.Stats())
		}
	}
}

// resent is how often the kernel has sent something again.
func (l *loaded) resent() int { return snmp(l.t, l.ns, "snmp", "Tcp", "RetransSegs") }

// ref is the TUN as an administrator names it.
func (l *loaded) ref() (*netlink.Handle, netlink.Link) {
	l.t.Helper()
	h, err := l.ns.Netlink()
	check(l.t, err)
	link, err := h.LinkByName("load0")
	check(l.t, err)
	return h, link
}

// carrier is what 'ip link set load0 carrier on' does.
func (l *loaded) carrier(on bool) {
	l.t.Helper()
	_, link := l.ref()
	value := []byte{0}
	if on {
		value[0] = 1
	}
	check(l.t, l.ns.Do(func() error {
		req := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
		msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
		msg.Index = int32(link.Attrs().Index)
		req.AddData(msg)
		req.AddData(nl.NewRtAttr(unix.IFLA_CARRIER, value))
		_, err := req.Execute(unix.NETLINK_ROUTE, 0)
		return err
	}))
}

// TestDeviceThatStopsAccepting: full, refusing, down and without a carrier, for long
// enough that segments are sent again, under four connections both ways. Nothing is lost
// by us, what is lost is counted and said once, and all goes on when it accepts again.
func TestDeviceThatStopsAccepting(t *testing.T) {
	covers.IDs(t, "H-39")
	for name, c := range map[string]stopping{
		"full": {
			valve: func() *valve { return newValve(nil) },
			stop:  func(_ *loaded, v *valve) { v.set(true) }, goOn: func(_ *loaded, v *valve) { v.set(false) },
			stopped: func(_ *loaded, v *valve) bool { return v.held.Load() > 0 },
		},
		"refusing": {
			valve: func() *valve { return newValve(syscall.EAGAIN) },
			stop:  func(_ *loaded, v *valve) { v.set(true) }, goOn: func(_ *loaded, v *valve) { v.set(false) },
			stopped: func(_ *loaded, v *valve) bool { return v.held.Load() >= 5 },
			lost:    func(l *loaded) uint64 { return l.link.Stats().TxNoBuffer },
			line:    "the device is full",
		},
		"down": {
			stop:    func(l *loaded, _ *valve) { h, link := l.ref(); check(l.t, h.LinkSetDown(link)) },
			goOn:    func(l *loaded, _ *valve) { h, link := l.ref(); check(l.t, h.LinkSetUp(link)) },
			stopped: func(l *loaded, _ *valve) bool { return l.dev.Stats().WriteLinkDown >= 5 },
			lost:    func(l *loaded) uint64 { return l.dev.Stats().WriteLinkDown },
			line:    "the interface is down",
		},
		"without a carrier": {
			stop:    func(l *loaded, _ *valve) { l.carrier(false) },
			goOn:    func(l *loaded, _ *valve) { l.carrier(true) },
			stopped: func(*loaded, *valve) bool { return true },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, c.run)
		})
	}
}

// stopping is a way in which a device stops.
type stopping struct {
	valve      func() *valve // nil: the TUN as it is
	stop, goOn func(l *loaded, v *valve)
	// stopped says that somebody has noticed.
	stopped func(l *loaded, v *valve) bool
	lost    func(l *loaded) uint64 // what is counted; nil: nothing is lost
	line    string                 // what is said once
}

func (c stopping) run(t *testing.T, family int) {
	var v *valve
	var wrap func(iolink.Device) iolink.Device
	if c.valve != nil {
		v = c.valve()
		wrap = func(d iolink.Device) iolink.Device { v.Device = d; return v }
	}
	l := newLoaded(t, tun.Config{Queues: 2}, wrap)
	if v != nil {
		t.Cleanup(func() { v.set(false) }) // before the stack is closed
	}
	load := l.load(family, 4, flows.Endless)
	check(t, load.Progress(l.ctx, 256<<10))
	before := l.resent()
	c.stop(l, v)
	looks := 0
	l.eventually("stopped", func() bool {
		looks++ // long enough for both ends to send again, if they have something to send
		return c.stopped(l, v) && (looks > 200 || l.resent()-before >= 4)
	})
	c.goOn(l, v)
	check(t, load.Progress(l.ctx, 256<<10)) // each of them
	load.Finish()
	l.complete(load)
	st, dev := l.link.Stats(), l.dev.Stats()
	switch {
	case c.lost == nil:
		if st.TxNoBuffer+st.TxErrors+st.TxClosed > 0 || dev != (tun.Stats{}) {
			t.Errorf("lost: %+v, %+v", st, dev)
		}
	case c.lost(l) == 0 || l.log.says(c.line) != 1:
		t.Errorf("%d lost; said %d times:\n%s", c.lost(l), l.log.says(c.line), l.log.text.String())
	}
}

// TestDeviceThatEndsUnderLoad: closed behind the stack's back, or deleted by an
// administrator. Every call ends with an error that says why, one line is logged, and
// nothing is left of the packets (TestMain looks).
func TestDeviceThatEndsUnderLoad(t *testing.T) {
	covers.IDs(t, "H-40")
	for name, c := range map[string]struct {
		end  func(l *loaded) error
		want error
	}{
		"closed":  {func(l *loaded) error { return l.dev.Close() }, tun.ErrClosed},
		"deleted": {func(l *loaded) error { h, link := l.ref(); return h.LinkDel(link) }, tun.ErrGone},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, family int) {
				l := newLoaded(t, tun.Config{Queues: 4}, nil)
				load := l.load(family, 4, flows.Endless)
				check(t, load.Progress(l.ctx, 256<<10))
				check(t, c.end(l))
				l.eventually("every reader has ended", func() bool { return l.link.Stats().ReadersFailed == 4 })
				l.link.Wait()
				if n := l.log.says("can no longer be read"); n != 1 {
					t.Errorf("said %d times:\n%s", n, l.log.text.String())
				}
				for q := range l.dev.Queues() {
					if n, err := l.dev.Write(q, []frame.Packet{ipv4Packet()}); n != 0 || !errors.Is(err, c.want) {
						t.Errorf("Write to queue %d: %d, %v; want %v", q, n, err, c.want)
					}
					if n, err := l.dev.Read(q, []frame.Packet{{Views: [][]byte{make([]byte, 65535)}}}); n != 0 || !errors.Is(err, c.want) {
						t.Errorf("Read of queue %d: %d, %v; want %v", q, n, err, c.want)
					}
				}
				check(t, l.stack.Close())
				load.Close()
				for i, err := range load.Wait() {
					if !errors.Is(err, net.ErrClosed) {
						t.Errorf("flow %d ended with %v", i, err)
					}
				}
			})
		})
	}
}

// ipv4Packet is a whole packet to nowhere.
func ipv4Packet() frame.Packet {
	b := make([]byte, 20)
	b[0] = 0x45
	binary.BigEndian.PutUint16(b[2:], 20)
	copy(b[16:], netip.MustParseAddr("192.0.2.1").AsSlice())
	return frame.Packet{Views: [][]byte{b}, Size: len(b)}
}
