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
	defaultKeepIdle     = 7200 // seconds
	defaultKeepInterval = 1    // seconds
	defaultKeepCount    = 10   // probes
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
	keepIdle      int // seconds
	keepInterval  int // seconds
	keepCount     int
	segment       int // bytes; 0: the transport's
	receiveBuffer int // bytes; 0: the transport's
	sendBuffer    int // bytes; 0: the transport's

	// Of datagram sockets: may send broadcasts, and what control messages come with
	// received datagrams, for IPv4 and IPv6.
	broadcast               bool
	packetInfo, packetInfo6 bool
	hopLimit, hopLimit6     bool
}

// defaultOptions are what Windows documents.
func defaultOptions(family, socketType uint16) options {
	return options{
		socketType: socketType,
		v6Only:     family == AF_INET6,
		keepIdle:   defaultKeepIdle, keepInterval: defaultKeepInterval, keepCount: defaultKeepCount,
	}
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
	return errors.Join(errs...)
}

func (o options) applyKeepAlive(t Transport) error {
	return t.SetKeepAlive(o.keepAlive, time.Duration(o.keepIdle)*time.Second,
		time.Duration(o.keepInterval)*time.Second, o.keepCount)
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
	active      bool     // not on sockets that only listen

	// set changes the socket's own value; apply, which may be nil, tells the
	// transport. A nil set makes the option read-only.
	set   func(*options, uint32)
	apply func(options, Transport) error
	// adjust tells a transport of either kind, datagrams one for datagrams.
	adjust    func(options, adjustable) error
	datagrams func(options, Datagram) error
	// get returns the value; t may be nil.
	get func(o options, t adjustable) (uint32, error)
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

// optionTable is never written to. What is not in it is not supported.
var optionTable = [...]option{
	{
		level: IPPROTO_TCP, tcp: true, code: TCP_FASTOPEN, name: "TCP_FASTOPEN", boolean: true, active: true, setIn: fnSetBeforeConnect,
		set: func(o *options, v uint32) { o.fastOpen = v != 0 },
		get: func(o options, _ adjustable) (uint32, error) { return b2u(o.fastOpen), nil },
	},
	{
		level: IPPROTO_TCP, tcp: true, code: TCP_NODELAY, name: "TCP_NODELAY", boolean: true, setIn: fnControl,
		set:   func(o *options, v uint32) { o.noDelay = v != 0 },
		apply: func(o options, t Transport) error { return t.SetNoDelay(o.noDelay) },
		get:   func(o options, _ adjustable) (uint32, error) { return b2u(o.noDelay), nil },
	},
	{
		level: IPPROTO_TCP, tcp: true, code: TCP_KEEPIDLE, name: "TCP_KEEPIDLE", min: 1, max: maxSeconds, setIn: fnControl,
		set:   func(o *options, v uint32) { o.keepIdle = int(v) },
		apply: options.applyKeepAlive,
		get:   func(o options, _ adjustable) (uint32, error) { return uint32(o.keepIdle), nil },
	},
	{
		level: IPPROTO_TCP, tcp: true, code: TCP_KEEPINTVL, name: "TCP_KEEPINTVL", min: 1, max: maxSeconds, setIn: fnControl,
		set:   func(o *options, v uint32) { o.keepInterval = int(v) },
		apply: options.applyKeepAlive,
		get:   func(o options, _ adjustable) (uint32, error) { return uint32(o.keepInterval), nil },
	},
	{
		level: IPPROTO_TCP, tcp: true, code: TCP_KEEPCNT, name: "TCP_KEEPCNT", min: 1, max: maxKeepCount, setIn: fnControl,
		set:   func(o *options, v uint32) { o.keepCount = int(v) },
		apply: options.applyKeepAlive,
		get:   func(o options, _ adjustable) (uint32, error) { return uint32(o.keepCount), nil },
	},
	{
		level: IPPROTO_TCP, tcp: true, code: TCP_MAXSEG, name: "TCP_MAXSEG", min: 1, max: maxSegment, setIn: fnSetBeforeConnect,
		set:   func(o *options, v uint32) { o.segment = int(v) },
		apply: func(o options, t Transport) error { return t.SetMaxSegment(o.segment) },
		get: func(o options, t adjustable) (uint32, error) {
			return ask(o.segment, t, func(a adjustable) (int, error) { return a.(Transport).MaxSegment() })
		},
	},
	{
		level: SOL_SOCKET, tcp: true, code: SO_KEEPALIVE, name: "SO_KEEPALIVE", boolean: true, setIn: fnControl,
		set:   func(o *options, v uint32) { o.keepAlive = v != 0 },
		apply: options.applyKeepAlive,
		get:   func(o options, _ adjustable) (uint32, error) { return b2u(o.keepAlive), nil },
	},
	{
		level: SOL_SOCKET, code: SO_RCVBUF, name: "SO_RCVBUF", min: 1, max: maxBuffer, setIn: fnControl,
		set:    func(o *options, v uint32) { o.receiveBuffer = int(v) },
		adjust: func(o options, t adjustable) error { return t.SetReceiveBuffer(o.receiveBuffer) },
		get: func(o options, t adjustable) (uint32, error) {
			return ask(o.receiveBuffer, t, adjustable.ReceiveBuffer)
		},
	},
	{
		level: SOL_SOCKET, code: SO_SNDBUF, name: "SO_SNDBUF", min: 1, max: maxBuffer, setIn: fnControl,
		set:    func(o *options, v uint32) { o.sendBuffer = int(v) },
		adjust: func(o options, t adjustable) error { return t.SetSendBuffer(o.sendBuffer) },
		get: func(o options, t adjustable) (uint32, error) {
			return ask(o.sendBuffer, t, adjustable.SendBuffer)
		},
	},
	{
		level: SOL_SOCKET, code: SO_TYPE, name: "SO_TYPE",
		get: func(o options, _ adjustable) (uint32, error) { return uint32(o.socketType), nil },
	},
	{
		level: SOL_SOCKET, code: SO_BROADCAST, name: "SO_BROADCAST", boolean: true, dgram: true, setIn: fnControl,
		set:       func(o *options, v uint32) { o.broadcast = v != 0 },
		datagrams: func(o options, d Datagram) error { return d.SetBroadcast(o.broadcast) },
		get:       func(o options, _ adjustable) (uint32, error) { return b2u(o.broadcast), nil },
	},
	{
		level: IPPROTO_IP, code: IP_PKTINFO, name: "IP_PKTINFO", boolean: true, dgram: true, setIn: fnControl,
		set: func(o *options, v uint32) { o.packetInfo = v != 0 },
		get: func(o options, _ adjustable) (uint32, error) { return b2u(o.packetInfo), nil },
	},
	{
		level: IPPROTO_IP, code: IP_HOPLIMIT, name: "IP_HOPLIMIT", boolean: true, dgram: true, setIn: fnControl,
		set: func(o *options, v uint32) { o.hopLimit = v != 0 },
		get: func(o options, _ adjustable) (uint32, error) { return b2u(o.hopLimit), nil },
	},
	{
		level: IPPROTO_IPV6, code: IPV6_PKTINFO, name: "IPV6_PKTINFO", boolean: true, dgram: true, v6: true, setIn: fnControl,
		set: func(o *options, v uint32) { o.packetInfo6 = v != 0 },
		get: func(o options, _ adjustable) (uint32, error) { return b2u(o.packetInfo6), nil },
	},
	{
		level: IPPROTO_IPV6, code: IPV6_HOPLIMIT, name: "IPV6_HOPLIMIT", boolean: true, dgram: true, v6: true, setIn: fnControl,
		set: func(o *options, v uint32) { o.hopLimit6 = v != 0 },
		get: func(o options, _ adjustable) (uint32, error) { return b2u(o.hopLimit6), nil },
	},
	{
		level: IPPROTO_IPV6, code: IPV6_V6ONLY, name: "IPV6_V6ONLY", boolean: true, setIn: fnSetBeforeBind, v6: true,
		set:    func(o *options, v uint32) { o.v6Only = v != 0 },
		adjust: func(o options, t adjustable) error { return t.SetV6Only(o.v6Only) },
		get:    func(o options, _ adjustable) (uint32, error) { return b2u(o.v6Only), nil },
	},
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
			o.active && f.category.flag == FlagListenSocket {
			return nil
		}
		return o
	}
	return nil
}

// controlSocket is WskControlSocket.
func (f *flow) controlSocket(what ControlType, code, level uint32, input, output []byte, returned *uint64, i *irp.IRP) ntstatus.Status {
	if what == Ioctl {
		if f != nil && f.category.flag == FlagDatagramSocket &&
			(code == SIO_WSK_SET_REMOTE_ADDRESS || code == SIO_WSK_SET_SENDTO_ADDRESS) {
			return f.setPeer(code, input, i)
		}
		return f.ioctl(code, output, returned, i)
	}
	if what == SetOption && level == SOL_SOCKET && code == SO_WSK_EVENT_CALLBACK && f.hasEvents() {
		return f.eventCallback(input, i)
	}
	return f.call(fnControl, i, func(o *op) ntstatus.Status {
		if what != SetOption && what != GetOption {
			return ntstatus.InvalidParameter
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
	changed := f.options
	opt.set(&changed, value)
	if err := f.tell(opt, changed); err != nil {
		return statusOf(err, setting)
	}
	f.options = changed
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
	value, err := opt.get(f.options, f.adjustable())
	if err != nil {
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

// answerSize writes a SIZE_T.
func (o *op) answerSize(output []byte, n int) ntstatus.Status {
	const size = 8 // bytes
	if len(output) < size {
		return o.flow.fail(FaultOutput, ntstatus.BufferTooSmall)
	}
	binary.LittleEndian.PutUint64(output, uint64(max(n, 0)))
	o.result.Information = size
	return ntstatus.Success
}

// ioctl answers the codes that there are. Those whose refusal is documented are
// synchronous and must come without an IRP, the others with one.
func (f *flow) ioctl(code uint32, output []byte, returned *uint64, i *irp.IRP) ntstatus.Status {
	var refusal ntstatus.Status
	switch code {
	case SIO_WSK_QUERY_IDEAL_SEND_BACKLOG, SIO_WSK_QUERY_RECEIVE_BACKLOG:
		return f.call(fnControl, i, func(o *op) ntstatus.Status { return f.queryBacklog(o, code, output) })
	case SIO_WSK_REGISTER_EXTENSION:
		refusal = ntstatus.NotSupported // no extension is defined
	case SIO_WSK_QUERY_INSPECT_ID:
		refusal = ntstatus.InvalidDeviceRequest // it was not accepted conditionally
	default:
		return f.call(fnControl, i, func(*op) ntstatus.Status { return ntstatus.NotSupported })
	}
	if i != nil {
		return f.call(fnControl, i, func(*op) ntstatus.Status { return f.fail(FaultIRP, ntstatus.InvalidParameter) })
	}
	return f.sync(fnControl, func() ntstatus.Status {
		if returned != nil {
			*returned = 0
		}
		return refusal
	})
}
