package stacktest

import (
	"net/netip"
	"sync"
	"time"

	"github.com/wskstack/wskstack/stack/seg"
)

// Peer is a node without a stack: what is sent to it is received by the test, and
// what it sends the test makes.
type Peer struct {
	port   *Port
	notice notice

	mu    sync.Mutex
	inbox [][]byte // guarded by mu
}

// Peer plugs in addresses that are driven by hand.
func (n *Net) Peer(name string, line LineConfig, addrs ...netip.Addr) *Peer {
	n.t.Helper()
	p := &Peer{port: n.plug(name, line, addrs)}
	p.port.receive = p.take
	return p
}

// take runs on the driver.
func (p *Peer) take(b []byte) {
	p.mu.Lock()
	p.inbox = append(p.inbox, b)
	p.mu.Unlock()
	p.notice.signal()
}

// Line is the Peer's stretch of path.
func (p *Peer) Line() *Line { return p.port.line }

// Send sends a segment; a copy of its bytes.
func (p *Peer) Send(s seg.Segment) { p.SendBytes(s.Bytes()) }

// SendBytes sends an IP packet, or what pretends to be one; a copy of it.
func (p *Peer) SendBytes(b []byte) {
	p.port.mu.Lock()
	p.port.outbox = append(p.port.outbox, append([]byte(nil), b...))
	p.port.mu.Unlock()
	p.port.net.poke()
}

// Receive waits for the next segment, for as long as limit. It skips packets that
// are no whole TCP segments.
func (p *Peer) Receive(limit time.Duration) (seg.Segment, error) {
	n := p.port.net
	sl := n.newSleeper()
	p.notice.add(sl)
	defer p.notice.remove(sl)
	end := n.Now() + limit
	t := sl.after(limit)
	defer t.Stop()
	for {
		for b := p.next(); b != nil; b = p.next() {
			if s, err := seg.Parse(b); err == nil {
				return s, nil
			}
		}
		if n.Now() >= end {
			return seg.Segment{}, ErrLimit
		}
		sl.await()
	}
}

func (p *Peer) next() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.inbox) == 0 {
		return nil
	}
	b := p.inbox[0]
	p.inbox = p.inbox[1:]
	return b
}

// Discard forgets what has arrived.
func (p *Peer) Discard() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inbox = nil
}
