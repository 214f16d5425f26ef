package wsk

import (
	"encoding/binary"
	"errors"
	"syscall"
	"time"

	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// Windows' own defaults of keep-alive.
const (
	defaultKeepIdle     = 2 * time.Hour
	defaultKeepInterval = time.Second
	defaultKeepCount    = 10 // probes
)

// Bounds of option values; those of the time options keep them within a
// time.Duration, the count's is Windows'.
const (
	maxSeconds   = 32767
	maxKeepCount = 255
	maxBuffer    = 1 << 30 // bytes
	maxSegment   = 65535   // bytes; the transport may allow less
)

// options are a socket's own settings: kept here so that they can be set before
// there is a connection and survive a failed connect.
type options struct {
	socketType    uint16
	fastOpen      bool
	noDelay       bool
	v6Only        bool
	keepAlive     bool
	keepIdle      time.Duration
	keepInterval  time.Duration
	keepCount     int
	conditional   bool // SO_CONDITIONAL_ACCEPT
	reuse         bool // SO_REUSEADDR
	exclusive     bool // SO_EXCLUSIVEADDRUSE
	ttl           int  // of IPv4; 0: the transport's
	hops          int  // of IPv6; 0: the transport's
	tos           int
	tosSet        bool
	retransmit    time.Duration // how long to go on with what is not acknowledged; 0: the transport's
	segment       int           // bytes; 0: the transport's
	receiveBuffer int           // bytes; 0: the transport's
	sendBuffer    int           // bytes; 0: the transport's
	unicastIf     uint32        // of IPv4: the one interface, or 0, as it was set
	unicastIf6    uint32        // of IPv6

	// Of datagram sockets: may send broadcasts, and what control messages come with
	// received datagrams, for IPv4 and IPv6.
	broadcast               bool
	packetInfo, packetInfo6 bool
	hopLimit, hopLimit6     bool
	class, class6           bool // the type of service, the traffic class
	congested, congested6   bool // the two bits of ECN
	noChecksum              bool
	messageSize             int    // bytes of each datagram that a buffer is cut into; 0: it is one
	multicastIf             uint32 // the one interface, or 0
	multicastIf6            uint32
	multicastHops           int
	multicastLoop           bool
}

// defaultOptions are what Windows documents.
func defaultOptions(family, socketType uint16) options {
	return options{
		socketType: socketType,
		v6Only:     family == AF_INET6,
		keepIdle:   defaultKeepIdle, keepInterval: defaultKeepInterval, keepCount: defaultKeepCount,
		multicastHops: 1, multicastLoop: true, // as the transports begin
	}
}

// maxShared is how many different sets of options are shared; sockets with rarer ones have
// their own.
const maxShared = 64

// share returns options that are equal to o, which sockets that have set the same share.
func (p *Provider) share(o options) *options {
	p.mu.Lock()
	defer p.mu.Unlock()
	if same := p.shared[o]; same != nil {
		return same
	}
	if p.shared == nil {
		p.shared = map[options]*options{}
	}
	if len(p.shared) < maxShared {
		p.shared[o] = &o
	}
	return &o
}

// applyTo sets everything that differs from a new transport's.
func (o options) applyTo(t Transport, family uint16) error {
	errs := []error{t.SetNoDelay(o.noDelay)}
	if family == AF_INET6 {
		errs = append(errs, t.SetV6Only(o.v6Only))
	}
	if o.keepAlive {
		errs = append(errs, o.applyKeepAlive(t))
	}
	if o.segment != 0 {
		errs = append(errs, t.SetMaxSegment(o.segment))
	}
	if o.receiveBuffer != 0 {
		errs = append(errs, t.SetReceiveBuffer(o.receiveBuffer))
	}
	if o.sendBuffer != 0 {
		errs = append(errs, t.SetSendBuffer(o.sendBuffer))
	}
	if o.retransmit != 0 {
		errs = append(errs, o.applyRetransmit(t))
	}
	if o.conditional {
		errs = append(errs, o.setConditional(t))
	}
	errs = append(errs, o.applyHeader(t))
	return errors.Join(errs...)
}

// applyHeader sets what differs from a new transport's IP headers.
func (o options) applyHeader(t adjustable) error {
	var errs []error
	if o.ttl != 0 {
		errs = append(errs, o.applyTTL(t))
	}
	if o.hops != 0 {
		errs = append(errs, o.applyHops(t))
	}
	if o.tosSet {
		errs = append(errs, o.applyTOS(t))
	}
	return errors.Join(errs...)
}

func (o options) applyTTL(t adjustable) error {
	return with(any(t), func(h HeaderSetter) error { return h.SetTTL(o.ttl) })
}

func (o options) applyHops(t adjustable) error {
	return with(any(t), func(h HeaderSetter) error { return h.SetHopLimit(o.hops) })
}

func (o options) applyTOS(t adjustable) error {
	return with(any(t), func(h HeaderSetter) error { return h.SetTOS(o.tos) })
}

func (o options) applyRetransmit(t Transport) error {
	return with(any(t), func(r RetransmitLimiter) error { return r.SetRetransmitLimit(o.retransmit) })
}

// serveFastOpen tells a listening transport whether to take data in SYNs; one that was
// never told and cannot needs not.
func (o options) serveFastOpen(t Transport) error {
	if s, ok := as[FastOpenServer](t); ok {
		return s.ServeFastOpen(o.fastOpen)
	}
	if o.fastOpen {
		return syscall.EOPNOTSUPP
	}
	return nil
}

func (o options) applyKeepAlive(t Transport) error {
	return t.SetKeepAlive(o.keepAlive, o.keepIdle, o.keepInterval, o.keepCount)
}

// option is one row of the table of options. Values are little-endian u32; a
// Boolean may also be one byte.
type option struct {
	level, code uint32
	name        string
	boolean     bool
	min, max    uint32   // of a value that is set, unless boolean
	setIn       function // the row of the state table that says when it may be set
	v6          bool     // only on AF_INET6 sockets
	dgram       bool     // only on datagram sockets
	tcp         bool     // only on sockets of TCP
	listens     bool     // only on listening sockets
	bound       bool     // not on basic sockets
	udp         bool     // only on sockets of UDP

	// set changes the socket's own value; apply, which may be nil, tells the
	// transport. A nil set makes the option read-only.
	set   func(*options, uint32)
	apply func(options, Transport) error
	// adjust tells a transport of either kind, datagrams one for datagrams.
	adjust    func(options, adjustable) error
	datagrams func(options, Datagram) error
	// listening tells a listening socket's transport.
	listening func(options, Transport) error
	// check refuses a value for a socket; it may be nil.
	check func(*flow, uint32) ntstatus.Status
	// get returns the value, t may be nil; or of does.
	get func(o options, t adjustable) (uint32, error)
	of  func(*flow) uint32
}

func b2u(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// ask returns the socket's own value, or else the transport's.
func ask(own int, t adjustable, get func(adjustable) (int, error)) (uint32, error) {
	if own != 0 {
		return uint32(own), nil
	}
	if t == nil {
		return 0, syscall.ENOTCONN
	}
	n, err := get(t)
	return uint32(n), err
}

// findOption returns the option of a level and code that the socket has, nil if
// there is none.
func (f *flow) findOption(level, code uint32) *option {
	for i := range optionTable {
		o := &optionTable[i]
		if o.level != level || o.code != code {
			continue
		}
		if o.dgram && f.category.flag != FlagDatagramSocket {
			return nil
		}
		if o.v6 && f.family != AF_INET6 || o.tcp && f.options.socketType != SOCK_STREAM ||
			o.udp && f.options.socketType != SOCK_DGRAM || o.listens && f.category.flag != FlagListenSocket || o.bound && f.category.flag == FlagBasicSocket {
			return nil
		}
		return o
	}
	return nil
}

// controlSocket is WskControlSocket.
func (f *flow) controlSocket(what ControlType, code, level uint32, input, output []byte, returned *uint64, i *irp.IRP) ntstatus.Status {
	if what == Ioctl {
		return f.ioctl(code, input, output, returned, i)
	}
	if what == SetOption && level == SOL_SOCKET && code == SO_WSK_EVENT_CALLBACK && f.hasEvents() {
		return f.eventCallback(input, i)
	}
	return f.call(fnControl, i, func(o *op) ntstatus.Status {
		if what != SetOption && what != GetOption {
			return f.fail(FaultFlags, ntstatus.InvalidParameter)
		}
		if status, ok := f.membership(what, level, code, input); ok {
			return status
		}
		opt := f.findOption(level, code)
		if opt == nil || what == SetOption && opt.set == nil {
			return ntstatus.NotSupported
		}
		if what == SetOption {
			return f.setOption(opt, input)
		}
		return f.getOption(o, opt, output)
	})
}

// hasEvents reports whether the socket's category has event callbacks.
func (f *flow) hasEvents() bool { return f != nil && f.category.flag != FlagBasicSocket }

// setOption parses, checks and sets. Precondition: f.mu is held.
func (f *flow) setOption(opt *option, input []byte) ntstatus.Status {
	value, ok := opt.parse(input)
	if !ok {
		return f.fail(FaultFlags, ntstatus.InvalidParameter)
	}
	if status, work := f.allow(opt.setIn); !work {
		return status
	}
	if opt.check != nil {
		if status := opt.check(f, value); status != ntstatus.Success {
			return status
		}
	}
	changed := *f.options
	opt.set(&changed, value)
	if err := f.tell(opt, changed); err != nil {
		return statusOf(err, setting)
	}
	f.options = f.client.provider.share(changed)
	return ntstatus.Success
}

// tell tells the transport, if there is one that has a use for options.
// Precondition: f.mu is held.
func (f *flow) tell(opt *option, o options) error {
	t := f.adjustable()
	switch {
	case t == nil || f.state == Aborted:
		return nil
	case opt.adjust != nil:
		return opt.adjust(o, t)
	case opt.listening != nil:
		if !f.state.listens() {
			return nil
		}
		return opt.listening(o, f.transport)
	case opt.apply != nil:
		return opt.apply(o, f.transport)
	case opt.datagrams != nil:
		return opt.datagrams(o, f.datagram)
	}
	return nil
}

// adjustable returns the transport, nil if there is none.
func (f *flow) adjustable() adjustable {
	switch {
	case f.transport != nil:
		return f.transport
	case f.datagram != nil:
		return f.datagram
	}
	return nil
}

// parse reads a value and checks its range.
func (opt *option) parse(input []byte) (uint32, bool) {
	if opt.boolean && len(input) == 1 {
		return uint32(input[0]), true
	}
	if len(input) < 4 {
		return 0, false
	}
	value := binary.LittleEndian.Uint32(input)
	return value, opt.boolean || value >= opt.min && value <= opt.max
}

// getOption writes the value to the caller's buffer. Precondition: f.mu is held.
func (f *flow) getOption(o *op, opt *option, output []byte) ntstatus.Status {
	one := opt.boolean && len(output) >= 1 && len(output) < 4
	if len(output) < 4 && !one {
		return f.fail(FaultOutput, ntstatus.BufferTooSmall)
	}
	if status, work := f.allow(fnControl); !work {
		return status
	}
	value, err := uint32(0), error(nil)
	if opt.of != nil {
		value = opt.of(f)
	} else if value, err = opt.get(*f.options, f.adjustable()); err != nil {
		return statusOf(err, setting)
	}
	if one {
		output[0] = byte(value)
		o.result.Information = 1
		return ntstatus.Success
	}
	binary.LittleEndian.PutUint32(output, value)
	o.result.Information = 4
	return ntstatus.Success
}
