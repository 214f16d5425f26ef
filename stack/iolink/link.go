package iolink

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/stack/iolink/frame"
)

// minMTU is the smallest MTU that an IPv4 network may have (RFC 791 §3.2).
const minMTU = 68

// maxMTU is the largest packet that IPv4's length field can hold.
const maxMTU = 65535

// CapabilityHostGSO is a bit of Capabilities of this package's own: the link takes
// super-segments. Netstack learns that from gstack.GSOEndpoint, which a wrapper that
// embeds the interface gstack.LinkEndpoint hides without meaning to; Capabilities it
// hands on. So whoever stands at the top can tell. A wrapper that means to hide
// super-segments clears the bit.
const CapabilityHostGSO gstack.LinkEndpointCapabilities = 1 << 31

// Config is what a Link needs beside its device. The zero value works.
type Config struct {
	// Clock times the pauses between failed reads. Nil: the system's clock.
	Clock tcpip.Clock

	// Logger gets one line when a reader ends by an error, one when the device
	// refuses super-segments, and one at the first packet that is lost for each of the
	// reasons of Stats; more are only counted. Nil: none.
	Logger *slog.Logger

	// NoJoin hands each packet up as it came. Without it TCP packets of one read that
	// carry on the same stream are joined where the device gives no super-segments,
	// which those above that look at packets see as one large one.
	NoJoin bool

	// OnReadFailure is called when the reader of a queue ends by an error that
	// the device does not recover from, other than that it was closed by this
	// Link. It runs on the reader's goroutine, which ends after it; it must not
	// call Wait. Nil: nobody is told (the counter ReadersFailed moves).
	OnReadFailure func(queue int, err error)
}

// Link is a gVisor LinkEndpoint over a Device. All methods may be called from
// any goroutine.
type Link struct {
	dev      Device
	clock    tcpip.Clock
	logger   *slog.Logger
	failed   func(queue int, err error)
	counters counters
	tx       sync.Pool // of *txBatch

	queues int
	offers frame.Offloads // the device's
	// verifies: the device's offloads are on, so checksums are judged here and
	// netstack judges none.
	verifies bool
	joins    bool
	capable  gstack.LinkEndpointCapabilities // asked for each packet that comes up
	// cutting: the device has refused a super-segment, and gets none any more.
	cutting atomic.Bool
	// shutQueues are those that took no more while the device was open: never reset.
	shutQueues []atomic.Bool
	mtu        atomic.Uint32
	closed     chan struct{}  // closed by shut, once
	readers    sync.WaitGroup // the reader goroutines

	// mu guards what follows. It is a leaf: nothing is called with it held.
	mu         sync.Mutex
	dispatcher gstack.NetworkDispatcher
	started    bool
	isClosed   bool
}

var (
	_ gstack.LinkEndpoint = (*Link)(nil)
	_ gstack.GSOEndpoint  = (*Link)(nil)
)

// New makes a Link that owns dev. It starts nothing; the readers start when the
// link is attached to a stack.
func New(dev Device, cfg Config) (*Link, error) {
	if dev == nil {
		return nil, errors.New("iolink: no device given")
	}
	queues := dev.Queues()
	if queues < 1 {
		return nil, fmt.Errorf("iolink: the device has %d queues, it needs at least 1", queues)
	}
	mtu := dev.MTU()
	if mtu < minMTU || mtu > maxMTU {
		return nil, fmt.Errorf("iolink: the device's MTU is %d, it has to be between %d and %d", mtu, minMTU, maxMTU)
	}
	l := &Link{
		dev:    dev,
		clock:  cfg.Clock,
		logger: cfg.Logger,
		failed: cfg.OnReadFailure,
		queues: queues, shutQueues: make([]atomic.Bool, queues),
		offers: dev.Offloads(),
		closed: make(chan struct{}),
	}
	l.verifies = l.offers.Checksum
	l.joins = !l.verifies && !cfg.NoJoin
	if l.verifies {
		l.capable |= gstack.CapabilityRXChecksumOffload
	}
	if l.SupportedGSO() == gstack.HostGSOSupported {
		l.capable |= CapabilityHostGSO
	}
	if l.clock == nil {
		l.clock = tcpip.NewStdClock()
	}
	l.mtu.Store(uint32(mtu))
	l.tx.New = func() any { return newTxBatch() }
	return l, nil
}

// Attach starts one reader per queue, which deliver to dispatcher. A nil
// dispatcher detaches the link: the device is closed and the readers end. A Link
// can be attached once.
func (l *Link) Attach(dispatcher gstack.NetworkDispatcher) {
	if dispatcher == nil {
		l.shut()
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.started || l.isClosed {
		return
	}
	l.started = true
	l.dispatcher = dispatcher
	for queue := range l.queues {
		l.readers.Add(1)
		go l.read(queue, dispatcher)
	}
}

// IsAttached says whether the link delivers to a stack.
func (l *Link) IsAttached() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dispatcher != nil
}

// Close closes the device, which ends the readers; Wait waits for them. It may
// be called twice.
func (l *Link) Close() { l.shut() }

// Wait returns when no reader runs.
func (l *Link) Wait() { l.readers.Wait() }

// shut closes the device, once, and lets go of the stack.
func (l *Link) shut() {
	l.mu.Lock()
	first := !l.isClosed
	l.isClosed = true
	l.dispatcher = nil
	l.mu.Unlock()
	if !first {
		return
	}
	close(l.closed)
	if err := l.dev.Close(); err != nil && l.logger != nil {
		l.logger.Warn("closing the packet device failed", "err", err)
	}
}

// over says whether the link was closed or detached.
func (l *Link) over() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// MTU is the largest IP packet in bytes: the device's, or what SetMTU said.
func (l *Link) MTU() uint32 { return l.mtu.Load() }

// SetMTU lowers or raises the MTU that the stack sees; the device's own MTU does
// not change. Values that no IP network can have are ignored.
func (l *Link) SetMTU(mtu uint32) {
	if mtu >= minMTU && mtu <= maxMTU {
		l.mtu.Store(mtu)
	}
}

// Capabilities says that checksums of packets coming up are verified here, if the
// device has offloads; otherwise netstack does that. On the way down netstack
// computes them, but for the segments of SupportedGSO, which CapabilityHostGSO
// repeats. It does not change.
func (l *Link) Capabilities() gstack.LinkEndpointCapabilities { return l.capable }

// SupportedGSO says whether new connections may send super-segments: if the device
// takes them for both families, and has refused none.
func (l *Link) SupportedGSO() gstack.SupportedGSO {
	if l.offers.Checksum && l.offers.TSO4 && l.offers.TSO6 && !l.cutting.Load() {
		return gstack.HostGSOSupported
	}
	return gstack.GSONotSupported
}

// GSOMaxSize is the largest super-segment in bytes, headers included.
func (l *Link) GSOMaxSize() uint32 { return uint32(max(l.offers.MaxSize, 0)) }

// MaxHeaderLength is 0: raw IP has no link header.
func (l *Link) MaxHeaderLength() uint16 { return 0 }

// LinkAddress is empty: raw IP has no link addresses.
func (l *Link) LinkAddress() tcpip.LinkAddress { return "" }

// SetLinkAddress does nothing, as raw IP has no link addresses.
func (l *Link) SetLinkAddress(tcpip.LinkAddress) {}

// ARPHardwareType says that the link has no ARP.
func (l *Link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }

// AddHeader does nothing: raw IP has no link header.
func (l *Link) AddHeader(*gstack.PacketBuffer) {}

// ParseHeader does nothing: raw IP has no link header.
func (l *Link) ParseHeader(*gstack.PacketBuffer) bool { return true }

// SetOnCloseAction does nothing: a Link is closed by the stack that it is
// attached to, never the other way round.
func (l *Link) SetOnCloseAction(func()) {}
