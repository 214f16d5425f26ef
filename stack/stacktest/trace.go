package stacktest

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/wskstack/wskstack/stack/seg"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

// EventKind is what happened to a packet.
type EventKind uint8

// The kinds.
const (
	// Sent by a node, or lost on its way out.
	Sent EventKind = iota
	// Changed or lost on its way in, or without a route.
	Changed
	// Boxed: taken or made by a middlebox.
	Boxed
	// Arrived at a node.
	Arrived
)

// Event is one thing that happened to a packet.
type Event struct {
	// At is the time since the run began.
	At   time.Duration
	Kind EventKind
	// Node is the node whose line it happened on.
	Node string
	// Bytes is the IP packet; it must not be changed.
	Bytes []byte
	// Lost says why the packet goes no further, What what else happened to it;
	// both may be empty.
	Lost, What string

	number int
}

// trace is what happened in a run. It is the driver's, and the test's when the
// driver rests.
type trace struct {
	limit     int
	events    []Event
	hash      uint64
	sent      int
	delivered int
}

func (n *Net) event(now time.Duration, p *Port, kind EventKind, f fate) {
	t := &n.trace
	switch kind {
	case Sent:
		t.sent++
	case Arrived:
		t.delivered++
	case Changed, Boxed:
	}
	var head [16]byte
	binary.LittleEndian.PutUint64(head[:], uint64(now))
	binary.LittleEndian.PutUint16(head[8:], uint16(p.number))
	head[10] = byte(kind)
	binary.LittleEndian.PutUint32(head[12:], uint32(digestText(f.lost+"/"+f.what)))
	t.hash = digest(digest(t.hash, head[:]), f.b)
	if len(t.events) < t.limit {
		t.events = append(t.events, Event{At: now, Kind: kind, Node: p.name, Bytes: f.b, Lost: f.lost, What: f.what, number: p.number})
	}
}

// Events are what has happened so far, up to Config.MaxEvents.
func (n *Net) Events() []Event {
	n.Settle()
	return n.trace.events[:len(n.trace.events):len(n.trace.events)]
}

// Ladder writes events as a ladder diagram: who sent what, what became of it, and
// where it arrived. Sequence numbers count from the first one seen of each
// direction.
func Ladder(events []Event) string {
	l := ladder{first: make(map[string]seqnum.Value)}
	var b strings.Builder
	for _, e := range events {
		l.rung(&b, e)
	}
	return b.String()
}

type ladder struct{ first map[string]seqnum.Value }

func (l *ladder) rung(b *strings.Builder, e Event) {
	arrow := map[EventKind]string{Sent: "%8s ●───►        ", Changed: "%8s   ┄┄►        ", Boxed: "%8s   [box]      ", Arrived: "%8s ◄───────     "}[e.Kind]
	if e.Lost != "" {
		arrow = "%8s ●──✗         "
	}
	fmt.Fprintf(b, "%12.6f  "+arrow, e.At.Seconds(), e.Node)
	b.WriteString(l.packet(e.Bytes))
	for _, why := range []string{e.Lost, e.What} {
		if why != "" {
			fmt.Fprintf(b, "   {%s}", why)
		}
	}
	b.WriteByte('\n')
}

// packet writes a packet in one line.
func (l *ladder) packet(p []byte) string {
	s, err := seg.Parse(p)
	if err != nil {
		if e, ok := seg.ParseICMPError(p); ok {
			return fmt.Sprintf("ICMP error about %v > %v: too big %v, MTU %d", e.Src, e.Dst, e.TooBig, e.MTU)
		}
		return fmt.Sprintf("%d bytes: %v", len(p), err)
	}
	from, to := fmt.Sprint(s.Src(), s.Dst()), fmt.Sprint(s.Dst(), s.Src())
	if _, known := l.first[from]; !known || s.Flags().Has(seg.SYN) {
		l.first[from] = s.Seq()
	}
	text := fmt.Sprintf("%v > %v %v seq %d", s.Src(), s.Dst(), s.Flags(), int32(s.Seq()-l.first[from]))
	if n := len(s.Payload()); n > 0 {
		text += fmt.Sprintf(":%d (%d)", int(int32(s.Seq()-l.first[from]))+n, n)
	}
	if s.Flags().Has(seg.ACK) {
		text += fmt.Sprintf(" ack %d", int32(s.Ack()-l.first[to]))
	}
	text += fmt.Sprintf(" win %d", s.Window())
	for kind, body := range s.Options() {
		text += " " + option(kind, body)
	}
	if !s.Verify() {
		text += " BAD CHECKSUM"
	}
	return text
}

const kindFastOpen = 34

func option(kind uint8, body []byte) string {
	switch {
	case kind == seg.OptMSS && len(body) == 2:
		return fmt.Sprintf("mss %d", binary.BigEndian.Uint16(body))
	case kind == seg.OptWScale && len(body) == 1:
		return fmt.Sprintf("wscale %d", body[0])
	case kind == seg.OptSACKPerm:
		return "sackOK"
	case kind == seg.OptTS && len(body) == 8:
		return fmt.Sprintf("TS %d/%d", binary.BigEndian.Uint32(body), binary.BigEndian.Uint32(body[4:]))
	case kind == seg.OptSACK:
		return fmt.Sprintf("sack(%d)", len(body)/8)
	case kind == kindFastOpen && len(body) == 0:
		return "fastopen-request"
	case kind == kindFastOpen:
		return fmt.Sprintf("fastopen %x", body)
	}
	return fmt.Sprintf("option %d:%x", kind, body)
}
