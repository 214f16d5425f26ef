package fastopen

import (
	"runtime"

	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// Flush returns when nothing that was made is on its way up any more.
func (l *Link) Flush() {
	for {
		l.up.mu.Lock()
		idle := len(l.up.items) == 0 && !l.up.draining
		l.up.mu.Unlock()
		if idle {
			return
		}
		l.up.wake()
		runtime.Gosched()
	}
}

// Looks reports whether a packet that comes up is an opening's.
func (l *Link) Looks(pkt *gstack.PacketBuffer) bool {
	defer pkt.DecRef()
	return l.openingUp(pkt) != nil
}
