package explain

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/seg"
)

// maxNotes bounds what waits for a packet.
const maxNotes = 1024

// Notes joins a fastopen.Link, whose Config.OnStep is its Step, to a capture below it.
// The zero value is ready; while it is off it costs one atomic load. It is safe for
// concurrent use.
type Notes struct {
	on atomic.Bool

	mu      sync.Mutex
	waiting []note                            // guarded by mu
	rising  map[*gstack.PacketBuffer][]string // guarded by mu; packets on their way up
}

// note is something said of a packet that has not left yet, or, if next is set, of the
// connection: then its next packet, whichever way it goes, has it.
type note struct {
	local, remote netip.AddrPort
	next          bool
	flags         seg.Flags
	seq           seqnum.Value
	size          int
	text          string
}

// SetOn switches it on or off, when a capture begins and ends. What was waiting is
// forgotten.
func (n *Notes) SetOn(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.on.Store(on)
	n.waiting, n.rising = nil, nil
}

// Step is for fastopen.Config.OnStep.
func (n *Notes) Step(s fastopen.Step) {
	if !n.on.Load() {
		return
	}
	before, _ := seg.Parse(bytesOf(s.Packet)) // not valid if there is none, or it is no TCP
	n.mu.Lock()
	defer n.mu.Unlock()
	if s.Down {
		n.goingDown(s, before)
	} else {
		n.comingUp(s, before)
	}
}

// goingDown notes what became of a segment of netstack's. It is called with mu held.
func (n *Notes) goingDown(s fastopen.Step, before seg.Segment) {
	out := s.ToWire
	switch {
	case s.Packet == nil || s.Passed:
	case len(out) > 0 && follows(before, out[0]):
		if what := changes(before, out[0]); what != "" {
			n.add(s, out[0], what)
		}
		out = out[1:]
	default:
		n.addNext(s, "netstack's "+words(before)+" was kept off the wire")
	}
	n.made(s, out)
	for _, up := range s.ToStack {
		n.addNext(s, "netstack was given a made "+words(up))
	}
}

// comingUp notes what became of a packet from the wire. It is called with mu held.
func (n *Notes) comingUp(s fastopen.Step, before seg.Segment) {
	up := s.ToStack
	switch {
	case s.Passed:
	case len(up) > 0 && follows(before, up[0]):
		if what := changes(before, up[0]); what != "" {
			n.tell(s, "netstack is shown it changed: "+what)
		}
		up = up[1:]
	default:
		n.tell(s, "swallowed")
	}
	for _, u := range up {
		n.tell(s, "netstack is given a made "+words(u))
	}
	n.made(s, s.ToWire)
}

// made notes segments that netstack did not send.
func (n *Notes) made(s fastopen.Step, out []seg.Segment) {
	for _, w := range out {
		n.add(s, w, "made here")
	}
}

const (
	prefix     = "Fast Open: "
	prefixNext = "Fast Open, before this packet: "
)

// add notes something of a segment that is about to leave.
func (n *Notes) add(s fastopen.Step, w seg.Segment, text string) {
	n.push(note{local: s.Local, remote: s.Remote, flags: w.Flags(), seq: w.Seq(), size: len(w.Payload()), text: prefix + text})
}

// addNext notes something that no packet shows.
func (n *Notes) addNext(s fastopen.Step, text string) {
	n.push(note{local: s.Local, remote: s.Remote, next: true, text: prefixNext + text})
}

func (n *Notes) push(it note) {
	if len(n.waiting) >= maxNotes {
		n.waiting = n.waiting[1:]
	}
	n.waiting = append(n.waiting, it)
}

// tell says something of the packet that is coming up; if it came up earlier than the
// layer saw it, of the next one.
func (n *Notes) tell(s fastopen.Step, text string) {
	if said, ok := n.rising[s.Packet]; ok {
		n.rising[s.Packet] = append(said, prefix+text)
		return
	}
	n.addNext(s, "of an earlier one: "+text)
}

// Outgoing returns what is to be said of the IP packet b, which is about to leave.
func (n *Notes) Outgoing(b []byte) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.waiting) == 0 {
		return nil
	}
	s, err := seg.Parse(b)
	if err != nil {
		return nil
	}
	return n.take(func(it note) bool {
		return it.local == s.Src() && it.remote == s.Dst() &&
			(it.next || it.flags == s.Flags() && it.seq == s.Seq() && it.size == len(s.Payload()))
	})
}

// Arrived announces the packet pkt, whose bytes are b, before it goes up.
func (n *Notes) Arrived(pkt *gstack.PacketBuffer, b []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.on.Load() {
		return
	}
	var said []string
	if len(n.waiting) > 0 {
		if s, err := seg.Parse(b); err == nil {
			said = n.take(func(it note) bool { return it.next && it.local == s.Dst() && it.remote == s.Src() })
		}
	}
	if n.rising == nil {
		n.rising = make(map[*gstack.PacketBuffer][]string)
	}
	n.rising[pkt] = said
}

// Incoming returns what is to be said of a packet that Arrived announced and that has
// been up.
func (n *Notes) Incoming(pkt *gstack.PacketBuffer) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	said := n.rising[pkt]
	delete(n.rising, pkt)
	return said
}

// take removes the notes that are wanted and returns their words. It is called with mu
// held.
func (n *Notes) take(wanted func(note) bool) []string {
	var said []string
	rest := n.waiting[:0]
	for _, it := range n.waiting {
		if wanted(it) {
			said = append(said, it.text)
		} else {
			rest = append(rest, it)
		}
	}
	n.waiting = rest
	return said
}

// bytesOf copies a packet from its IP header on.
func bytesOf(pkt *gstack.PacketBuffer) []byte {
	if pkt == nil {
		return nil
	}
	skip := len(pkt.VirtioNetHeader().Slice()) + len(pkt.LinkHeader().Slice())
	b := make([]byte, 0, pkt.Size())
	for _, s := range pkt.AsSlices() {
		b = append(b, s...)
	}
	return b[min(skip, len(b)):]
}
