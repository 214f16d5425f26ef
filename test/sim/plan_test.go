package sim

import (
	"io"
	"net/netip"

	"github.com/wskstack/wskstack/stack/stacktest"
)

// planned is what the server knows of a connection to come, by the client's port:
// bytes could be damaged or lost, the map cannot.
type planned struct {
	talk  talk
	index int
}

// portOf is the client's address for its i-th connection.
func (w *world) portOf(i int) netip.AddrPort {
	a := client4
	if w.v6 {
		a = client6
	}
	return netip.AddrPortFrom(a, uint16(40000+i))
}

func (w *world) plan(local netip.AddrPort, t talk, index int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.plans == nil {
		w.plans = make(map[netip.AddrPort]planned)
	}
	w.plans[local] = planned{t, index}
}

func (w *world) planOf(remote netip.AddrPort) (talk, int, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, ok := w.plans[remote]
	return p.talk, p.index, ok
}

func readFull(c *stacktest.Conn, b []byte) (int, error) { return io.ReadFull(c, b) }
