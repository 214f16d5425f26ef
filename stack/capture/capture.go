package capture

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/link/nested"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// ErrRunning is returned by Start while a capture runs.
var ErrRunning = errors.New("capture: a capture is running; stop it first")

// Config is what a Link needs beside the link below. The zero value works.
type Config struct {
	// Clock stamps the packets. Nil: the system's clock.
	Clock tcpip.Clock
	// Interface is the interface's name in the file. Empty: "wskstack".
	Interface string
}

// Link is a LinkEndpoint that records what passes. All methods may be called
// from any goroutine.
type Link struct {
	nested.Endpoint
	clock tcpip.Clock
	name  string

	// running is the capture that packets are recorded in; nil: none.
	running atomic.Pointer[recording]

	// mu orders Start and Stop and guards last. It is taken before
	// recording.mu.
	mu   sync.Mutex
	last *recording
}

var (
	_ gstack.LinkEndpoint      = (*Link)(nil)
	_ gstack.GSOEndpoint       = (*Link)(nil)
	_ gstack.NetworkDispatcher = (*Link)(nil)
)

// New wraps lower and, if w is not nil, starts a capture into w.
func New(lower gstack.LinkEndpoint, w io.Writer, cfg Config) (*Link, error) {
	if lower == nil {
		return nil, errors.New("capture: no link given")
	}
	l := &Link{clock: cfg.Clock, name: cfg.Interface}
	if l.clock == nil {
		l.clock = tcpip.NewStdClock()
	}
	if l.name == "" {
		l.name = "wskstack"
	}
	l.Init(lower, l)
	if w == nil {
		return l, nil
	}
	return l, l.Start(w)
}

// Start begins a capture into w and writes the file's header at once.
func (l *Link) Start(w io.Writer) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running.Load() != nil {
		return ErrRunning
	}
	r, err := newRecording(w, l.name)
	if err != nil {
		return fmt.Errorf("capture: cannot write the file's header: %w", err)
	}
	l.last = r
	l.running.Store(r)
	return nil
}

// Stop ends the capture, writes out what is buffered and returns the first error
// that the capture met. When it returns, nothing uses the writer any more.
// Without a capture, or called again, it returns the last capture's error.
func (l *Link) Stop() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running.Store(nil)
	if l.last == nil {
		return nil
	}
	if err := l.last.end(); err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	return nil
}

// Close closes the link below and ends the capture; its error is Stop's to tell.
func (l *Link) Close() {
	l.Endpoint.Close()
	_ = l.Stop()
}

// WritePackets records the packets and passes them on.
func (l *Link) WritePackets(pkts gstack.PacketBufferList) (int, tcpip.Error) {
	if r := l.running.Load(); r != nil {
		for _, pkt := range pkts.AsSlice() {
			l.record(r, pkt, &r.outbound)
		}
	}
	return l.Endpoint.WritePackets(pkts)
}

// DeliverNetworkPacket records the packet and passes it on.
func (l *Link) DeliverNetworkPacket(proto tcpip.NetworkProtocolNumber, pkt *gstack.PacketBuffer) {
	if r := l.running.Load(); r != nil {
		l.record(r, pkt, &r.inbound)
	}
	l.Endpoint.DeliverNetworkPacket(proto, pkt)
}

// record writes one packet and ends a capture that fails.
func (l *Link) record(r *recording, pkt *gstack.PacketBuffer, direction *pcapgo.NgEpbFlags) {
	if !r.write(l.clock, pkt, direction) {
		l.running.CompareAndSwap(r, nil)
	}
}

// recording is one capture.
type recording struct {
	inbound, outbound pcapgo.NgEpbFlags // never written to

	// mu guards what follows. It is held over writes to the caller's writer and
	// over nothing else.
	mu    sync.Mutex
	w     *pcapgo.NgWriter
	bytes []byte // one packet, flat
	ended bool
	err   error
}

func newRecording(w io.Writer, name string) (*recording, error) {
	ng, err := pcapgo.NewNgWriterInterface(w, pcapgo.NgInterface{
		Name:                name,
		OS:                  runtime.GOOS,
		LinkType:            layers.LinkTypeRaw,
		TimestampResolution: 9,
	}, pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{
		Hardware:    runtime.GOARCH,
		OS:          runtime.GOOS,
		Application: "wskstack",
	}})
	if err != nil {
		return nil, err
	}
	if err := ng.Flush(); err != nil {
		return nil, err
	}
	return &recording{
		inbound:  pcapgo.NgEpbFlags{Direction: pcapgo.NgEpbFlagDirectionInbound},
		outbound: pcapgo.NgEpbFlags{Direction: pcapgo.NgEpbFlagDirectionOutbound},
		w:        ng,
	}, nil
}

// write records a packet and says whether the capture is still good. The clock
// is read under the lock, so the stamps in the file never go back.
func (r *recording) write(clock tcpip.Clock, pkt *gstack.PacketBuffer, direction *pcapgo.NgEpbFlags) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended || r.err != nil {
		return false
	}
	r.bytes = flatten(r.bytes[:0], pkt)
	r.err = r.w.WritePacketWithOptions(gopacket.CaptureInfo{
		Timestamp:     clock.Now(),
		CaptureLength: len(r.bytes),
		Length:        len(r.bytes),
	}, r.bytes, pcapgo.NgPacketOptions{Flags: direction})
	return r.err == nil
}

// end writes out the buffer and returns the capture's first error.
func (r *recording) end() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended {
		r.ended = true
		if err := r.w.Flush(); r.err == nil {
			r.err = err
		}
	}
	return r.err
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
