package fastopen

import (
	"runtime"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
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

// Untouched reports whether a segment going down with that sequence number passes the
// flow by.
func (f *Flow) Untouched(seq uint32) bool {
	tcp := header.TCP(make([]byte, header.TCPMinimumSize))
	tcp.Encode(&header.TCPFields{SeqNum: seq, Flags: header.TCPFlagAck, DataOffset: header.TCPMinimumSize})
	return f.untouched(tcp)
}

// ComesUp hands the flow a packet of its own, as if it had been looked up before.
func (f *Flow) ComesUp(proto tcpip.NetworkProtocolNumber, pkt *gstack.PacketBuffer) {
	defer pkt.DecRef()
	f.up(proto, pkt)
}
