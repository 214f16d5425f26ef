package capture

import (
	"bufio"
	"context"
	"io"
	"sync"
	"time"

	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// maxHeld bounds what waits behind packets that are on their way up.
const maxHeld = 1024

// recording is one capture. Packets are written in the order in which they passed. One
// that came up is not written before it has been up, since only then it is known what
// is to be said of it; those behind it wait.
type recording struct {
	// over is closed when nothing uses the writer any more.
	over chan struct{}

	// mu guards what follows. It is held over writes to the caller's writer, and over
	// calls of the Commenter.
	mu    sync.Mutex
	w     *bufio.Writer
	block []byte    // one packet's block
	held  []*record // in their order; the first is on its way up
	free  []*record // to be used again
	ended bool
	err   error
	// forget undoes what would end the capture; nil: nothing would.
	forget func() bool
}

// record is one packet. It is guarded by recording.mu.
type record struct {
	at       time.Time
	inbound  bool
	rising   *gstack.PacketBuffer // while it is on its way up
	bytes    []byte
	comments []string
}

func newRecording(w io.Writer, name string) (*recording, error) {
	r := &recording{over: make(chan struct{}), w: bufio.NewWriter(w)}
	if _, err := r.w.Write(appendHeader(nil, name)); err != nil {
		return nil, err
	}
	if err := r.w.Flush(); err != nil {
		return nil, err
	}
	return r, nil
}

// add records a packet. The clock is read under the lock, so the stamps in the file
// never go back. It returns nil if the capture is over.
func (r *recording) add(l *Link, pkt *gstack.PacketBuffer, inbound bool) *record {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return nil
	}
	rec := r.spare()
	rec.at, rec.inbound, rec.bytes = l.clock.Now(), inbound, flatten(rec.bytes[:0], pkt)
	switch {
	case l.comments == nil:
	case inbound:
		rec.rising = pkt
		l.comments.Arrived(pkt, rec.bytes)
	default:
		rec.comments = l.comments.Outgoing(rec.bytes)
	}
	r.held = append(r.held, rec)
	if len(r.held) > maxHeld {
		r.held[0].rising = nil // it takes too long: what there was to say is lost
	}
	r.writeReady()
	return rec
}

// risen says that a packet has been up.
func (r *recording) risen(l *Link, rec *record, pkt *gstack.PacketBuffer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	said := l.comments.Incoming(pkt)
	if rec.rising == pkt && !r.ended {
		rec.rising, rec.comments = nil, said
		r.writeReady()
	}
}

// good says whether packets are still recorded.
func (r *recording) good() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.ended
}

// writeReady writes the packets that wait for nothing. It is called with mu held.
func (r *recording) writeReady() {
	n := 0
	for ; n < len(r.held) && r.held[n].rising == nil; n++ {
		r.write(r.held[n])
	}
	r.held = append(r.held[:0], r.held[n:]...)
	if r.err != nil {
		r.end()
	}
}

func (r *recording) write(rec *record) {
	if r.err == nil {
		r.block = appendPacket(r.block[:0], rec.at, rec.inbound, rec.bytes, rec.comments)
		_, r.err = r.w.Write(r.block)
	}
	rec.rising, rec.comments = nil, nil
	r.free = append(r.free, rec)
}

func (r *recording) spare() *record {
	n := len(r.free) - 1
	if n < 0 {
		return &record{}
	}
	rec := r.free[n]
	r.free = r.free[:n]
	return rec
}

// finish writes out what there is, waiting or not, and returns the first error of all.
func (r *recording) finish() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended {
		for _, rec := range r.held {
			r.write(rec)
		}
		if err := r.w.Flush(); r.err == nil {
			r.err = err
		}
		r.end()
	}
	return r.err
}

// end is called with mu held.
func (r *recording) end() {
	if !r.ended {
		r.ended = true
		r.held, r.free = nil, nil
		close(r.over)
		if r.forget != nil {
			r.forget()
		}
	}
}

// endsWith ends the capture with ctx.
func (r *recording) endsWith(ctx context.Context, finish func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended {
		r.forget = context.AfterFunc(ctx, finish)
	}
}

// flatten appends the packet's bytes, from the IP header on, to b.
func flatten(b []byte, pkt *gstack.PacketBuffer) []byte {
	list, skip := pkt.AsViewList()
	for v := list.Front(); v != nil; v = v.Next() {
		p := v.AsSlice()
		if skip >= len(p) {
			skip -= len(p)
			continue
		}
		b = append(b, p[skip:]...)
		skip = 0
	}
	return b
}
