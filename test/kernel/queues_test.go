package kernel

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/seqnum"

	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/stack/iolink/frame"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/covers"
	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/tun"
)

// observed is a device of several queues that notes on which each connection's
// packets pass.
type observed struct {
	iolink.Device
	mu    sync.Mutex
	flows map[ports]*passage // guarded by mu
}

// ports are of a connection: the stack's end, the kernel's.
type ports struct{ ours, theirs netip.AddrPort }

// passage is what was seen of a connection.
type passage struct {
	wrote     map[int]int  // packets written, by queue
	strays    int          // segments with data read from a queue to which none had been written
	empty     int          // the same without data
	next      seqnum.Value // behind the last byte read
	late      int          // segments read behind later ones
	data      int          // segments with data read
	underway  bool         // next is known
	supersize bool         // a segment of more than the MTU was read
	last      time.Time    // of a write
	idle      bool         // the kernel may have forgotten the connection meanwhile
}

// forgets is less than the kernel remembers a connection to which nothing is written
// (TUN_FLOW_EXPIRE, 3 s): a machine that is very busy does not write for so long.
const forgets = 2 * time.Second

func (p *passage) write(queue int) {
	now := time.Now()
	p.idle = p.idle || len(p.wrote) > 0 && now.Sub(p.last) > forgets
	p.wrote[queue]++
	p.last = now
}

func (o *observed) of(ours, theirs netip.AddrPort) *passage {
	p := o.flows[ports{ours, theirs}]
	if p == nil {
		p = &passage{wrote: make(map[int]int)}
		o.flows[ports{ours, theirs}] = p
	}
	return p
}

// headOf is the beginning of a packet, which may lie in several pieces.
func headOf(p *frame.Packet) []byte {
	b := bytes.Join(p.Views[:min(len(p.Views), 4)], nil)
	return b[:min(len(b), p.Size)]
}

func (o *observed) Write(queue int, batch []frame.Packet) (int, error) {
	o.mu.Lock()
	for i := range batch {
		if h, ok := seg.Peek(headOf(&batch[i])); ok {
			o.of(h.Src, h.Dst).write(queue)
		}
	}
	o.mu.Unlock()
	return o.Device.Write(queue, batch)
}

func (o *observed) Read(queue int, batch []frame.Packet) (int, error) {
	n, err := o.Device.Read(queue, batch)
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range batch[:n] {
		b := batch[i].Views[0]
		if h, ok := seg.Peek(b); ok {
			o.of(h.Dst, h.Src).read(queue, h, payload(b, batch[i].Size), batch[i].Size > o.MTU())
		}
	}
	return n, err
}

// payload is the number of bytes behind the headers, which are in b.
func payload(b []byte, size int) int {
	ip := 40
	if b[0]>>4 == 4 {
		ip = int(b[0]&0xf) * 4
	}
	return size - ip - int(b[ip+12]>>4)*4
}

func (p *passage) read(queue int, h seg.Head, size int, large bool) {
	stray := len(p.wrote) > 0 && p.wrote[queue] == 0
	switch {
	case size <= 0 && stray:
		p.empty++
		return
	case size <= 0:
		return
	case stray:
		p.strays++
	}
	p.data++
	p.supersize = p.supersize || large
	if p.underway && h.Seq.LessThan(p.next) {
		p.late++
		return
	}
	p.next, p.underway = h.Seq.Add(seqnum.Size(size)), true
}

// snmp reads one of the kernel's counters of a namespace.
func snmp(t *testing.T, ns *netns.Namespace, file, group, name string) int {
	t.Helper()
	var text []byte
	check(t, ns.Do(func() (err error) { text, err = os.ReadFile("/proc/thread-self/net/" + file); return err }))
	var names []string
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if words[0] != group+":" {
			continue
		}
		if names == nil {
			names = words
			continue
		}
		for i, w := range names {
			if w == name {
				n, err := strconv.Atoi(words[i])
				check(t, err)
				return n
			}
		}
	}
	t.Fatalf("the kernel has no counter %s of %s", name, group)
	return 0
}

// TestQueuesKeepConnections: of four queues each connection has one, both ways and
// whoever has made it; nothing of it overtakes; and all together move data. The kernel
// learns the queue from the first packet that is written to it, but only after it has
// answered that one: so the answer (SYN-ACK or ACK, without data) may be a stray.
func TestQueuesKeepConnections(t *testing.T) {
	covers.IDs(t, "H-41")
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprintf("plain %v", plain), func(t *testing.T) {
			each(t, func(t *testing.T, family int) {
				o := &observed{flows: make(map[ports]*passage)}
				const connections = 12
				size := flowBytes / 16
				if plain {
					size = min(size, 512<<10)
				}
				l := newLoaded(t, tun.Config{Queues: 4, NoOffload: plain}, func(d iolink.Device) iolink.Device { o.Device = d; return o })
				l.complete(l.load(family, connections, size))
				o.check(t, connections, offloads && !plain)
				lost := snmp(t, l.ns, "snmp", "Tcp", "RetransSegs")
				if late := o.late(); late > lost {
					t.Errorf("%d segments of the kernel's came late, %d were sent again", late, lost)
				}
				again := int(l.stack.Netstack().Stats().TCP.Retransmits.Value())
				if late := snmp(t, l.ns, "netstat", "TcpExt", "TCPOFOQueue"); late > 0 && again == 0 {
					t.Errorf("%d segments of the stack's came late, none was sent again", late)
				}
				t.Logf("sent again: %d by the kernel, %d by the stack; %+v", lost, again, l.link.Stats())
				if st := l.link.Stats(); st.TxErrors+st.TxNoBuffer+st.TxClosed+st.RxMalformed+st.RxBadChecksum+st.TxCut > 0 {
					t.Errorf("%+v", st)
				}
			})
		})
	}
}

func (o *observed) late() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range o.flows {
		n += p.late
	}
	return n
}

func (o *observed) check(t *testing.T, connections int, large bool) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	used := make(map[int]bool)
	for k, p := range o.flows {
		for q := range p.wrote {
			used[q] = true
		}
		if len(p.wrote) != 1 || !p.idle && (p.strays > 0 || p.empty > 1) || p.data == 0 || p.supersize != large {
			t.Errorf("%v: %+v", k, *p)
		}
	}
	// That 12 connections share one of four queues happens once in four million runs.
	if len(o.flows) != connections || len(used) < 2 {
		t.Errorf("%d connections on %d queues", len(o.flows), len(used))
	}
}
