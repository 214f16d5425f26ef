package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/link/nested"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// ErrRunning is returned by Start and Record while a capture runs: there is one at a
// time on a link.
var ErrRunning = errors.New("capture: a capture is running; stop it first")

// Commenter says something of packets while a capture runs, and is safe for concurrent
// use. It is called with the capture's lock held: it must not call into a Link, nor
// wait. What package fastopen did is told by explain.Notes.
type Commenter interface {
	// SetOn says that a capture begins or has ended.
	SetOn(on bool)
	// Outgoing returns the comments on the IP packet b, which is about to leave.
	Outgoing(b []byte) []string
	// Arrived announces the packet pkt, with the bytes b, which is about to go up.
	// Incoming is called when it has been up, and returns the comments on it.
	Arrived(pkt *gstack.PacketBuffer, b []byte)
	Incoming(pkt *gstack.PacketBuffer) []string
}

// Config is what a Link needs beside the link below. The zero value works.
type Config struct {
	// Clock stamps the packets. Nil: the system's clock.
	Clock tcpip.Clock
	// Interface is the interface's name in the file. Empty: "wskstack".
	Interface string
	// Comments says what is said of the packets. Nil: nothing.
	Comments Commenter
}

// Link is a LinkEndpoint that records what passes. All methods may be called
// from any goroutine.
type Link struct {
	nested.Endpoint
	clock    tcpip.Clock
	name     string
	comments Commenter // nil: none

	// running is the capture that packets are recorded in; nil: none.
	running atomic.Pointer[recording]

	// mu orders beginnings and ends and guards what follows. It is taken before
	// recording.mu.
	mu     sync.Mutex
	last   *recording
	closed bool
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
	l := &Link{clock: cfg.Clock, name: cfg.Interface, comments: cfg.Comments}
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
	_, err := l.begin(w)
	return err
}

// Record is Start with an end: the capture runs until ctx ends, w fails, or Stop or
// Close. wait returns when nothing uses w any more, with the first error that w gave;
// that ctx ended is none. It may be called by several, and more than once.
func (l *Link) Record(ctx context.Context, w io.Writer) (wait func() error, err error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("capture: %w", context.Cause(ctx))
	}
	r, err := l.begin(w)
	if err != nil {
		return nil, err
	}
	r.endsWith(ctx, func() { _ = l.finish(r) })
	return func() error {
		<-r.over
		return l.finish(r)
	}, nil
}

func (l *Link) begin(w io.Writer) (*recording, error) {
	if w == nil {
		return nil, errors.New("capture: no writer given")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, fmt.Errorf("capture: the link is closed: %w", net.ErrClosed)
	}
	if l.running.Load() != nil {
		return nil, ErrRunning
	}
	r, err := newRecording(w, l.name)
	if err != nil {
		return nil, fmt.Errorf("capture: cannot write the file's header: %w", err)
	}
	if l.comments != nil {
		l.comments.SetOn(true)
	}
	l.last = r
	l.running.Store(r)
	return r, nil
}

// finish ends a capture that may have ended before, and returns its error.
func (l *Link) finish(r *recording) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running.CompareAndSwap(r, nil) && l.comments != nil {
		l.comments.SetOn(false)
	}
	if err := r.finish(); err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	return nil
}

// Stop ends the capture, writes out what is buffered and returns the first error
// that the capture met. When it returns, nothing uses the writer any more.
// Without a capture, or called again, it returns the last capture's error.
func (l *Link) Stop() error {
	l.mu.Lock()
	r := l.last
	l.mu.Unlock()
	if r == nil {
		return nil
	}
	return l.finish(r)
}

// Close closes the link below and ends the capture; its error is Stop's to tell.
func (l *Link) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.Endpoint.Close()
	_ = l.Stop()
}

// WritePackets records the packets and passes them on.
func (l *Link) WritePackets(pkts gstack.PacketBufferList) (int, tcpip.Error) {
	if r := l.running.Load(); r != nil {
		for _, pkt := range pkts.AsSlice() {
			r.add(l, pkt, false)
		}
		if !r.good() {
			_ = l.finish(r)
		}
	}
	return l.Endpoint.WritePackets(pkts)
}

// DeliverNetworkPacket records the packet and passes it on.
func (l *Link) DeliverNetworkPacket(proto tcpip.NetworkProtocolNumber, pkt *gstack.PacketBuffer) {
	r := l.running.Load()
	if r == nil {
		l.Endpoint.DeliverNetworkPacket(proto, pkt)
		return
	}
	rec := r.add(l, pkt, true)
	l.Endpoint.DeliverNetworkPacket(proto, pkt)
	if rec != nil && l.comments != nil {
		r.risen(l, rec, pkt)
	}
	if !r.good() {
		_ = l.finish(r)
	}
}
