package wsk

import (
	"math"
	"math/bits"
	"time"

	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// optionTable is never written to. What is not in it is not supported.
var optionTable = [...]option{
	{
		level: IPPROTO_TCP, tcp: true, code: TCP_FASTOPEN, name: "TCP_FASTOPEN", boolean: true, setIn: fnSetBeforeConnect,
		listening: options.serveFastOpen,
		set:       func(o *options, v uint32) { o.fastOpen = v != 0 },
		get:       func(o options, _ adjustable) (uint32, error) { return b2u(o.fastOpen), nil },
	},
	{
		level: IPPROTO_TCP, tcp: true, code: TCP_NODELAY, name: "TCP_NODELAY", boolean: true, setIn: fnControl,
		set:   func(o *options, v uint32) { o.noDelay = v != 0 },
		apply: func(o options, t Transport) error { return t.SetNoDelay(o.noDelay) },
		get:   func(o options, _ adjustable) (uint32, error) { return b2u(o.noDelay), nil },
	},
	{
		level: IPPROTO_TCP, tcp: true, code: TCP_KEEPIDLE, name: "TCP_KEEPIDLE", min: 1, max: maxSeconds, setIn: fnControl,
		set:   func(o *options, v uint32) { o.keepIdle = time.Duration(v) * time.Second },
		apply: options.applyKeepAlive,
		get:   func(o options, _ adjustable) (uint32, error) { return seconds(o.keepIdle), nil },
	},
	{
		level: IPPROTO_TCP, tcp: true, code: TCP_KEEPINTVL, name: "TCP_KEEPINTVL", min: 1, max: maxSeconds, setIn: fnControl,
		set:   func(o *options, v uint32) { o.keepInterval = time.Duration(v) * time.Second },
		apply: options.applyKeepAlive,
		get:   func(o options, _ adjustable) (uint32, error) { return seconds(o.keepInterval), nil },
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
		level: IPPROTO_IP, code: IP_RECVTOS, name: "IP_RECVTOS", boolean: true, dgram: true, setIn: fnControl,
		set: func(o *options, v uint32) { o.class = v != 0 },
		get: func(o options, _ adjustable) (uint32, error) { return b2u(o.class), nil },
	},
	{
		level: IPPROTO_IP, code: IP_RECVECN, name: "IP_RECVECN", boolean: true, dgram: true, setIn: fnControl,
		set: func(o *options, v uint32) { o.congested = v != 0 },
		get: func(o options, _ adjustable) (uint32, error) { return b2u(o.congested), nil },
	},
	{
		level: IPPROTO_IPV6, code: IPV6_RECVTCLASS, name: "IPV6_RECVTCLASS", boolean: true, dgram: true, v6: true, setIn: fnControl,
		set: func(o *options, v uint32) { o.class6 = v != 0 },
		get: func(o options, _ adjustable) (uint32, error) { return b2u(o.class6), nil },
	},
	{
		level: IPPROTO_IPV6, code: IPV6_RECVECN, name: "IPV6_RECVECN", boolean: true, dgram: true, v6: true, setIn: fnControl,
		set: func(o *options, v uint32) { o.congested6 = v != 0 },
		get: func(o options, _ adjustable) (uint32, error) { return b2u(o.congested6), nil },
	},
	{
		level: IPPROTO_IP, code: IP_UNICAST_IF, name: "IP_UNICAST_IF", max: math.MaxUint32, bound: true, setIn: fnControl,
		check: onlyInterface4,
		set:   func(o *options, v uint32) { o.unicastIf = v },
		get:   func(o options, _ adjustable) (uint32, error) { return o.unicastIf, nil },
	},
	{
		level: IPPROTO_IPV6, code: IPV6_UNICAST_IF, name: "IPV6_UNICAST_IF", max: math.MaxUint32, bound: true, v6: true, setIn: fnControl,
		check: onlyInterface,
		set:   func(o *options, v uint32) { o.unicastIf6 = v },
		get:   func(o options, _ adjustable) (uint32, error) { return o.unicastIf6, nil },
	},
	{
		level: IPPROTO_IP, code: IP_MULTICAST_IF, name: "IP_MULTICAST_IF", max: math.MaxUint32, dgram: true, setIn: fnControl,
		check: onlyInterface4,
		set:   func(o *options, v uint32) { o.multicastIf = v },
		get:   func(o options, _ adjustable) (uint32, error) { return o.multicastIf, nil },
	},
	{
		level: IPPROTO_IPV6, code: IPV6_MULTICAST_IF, name: "IPV6_MULTICAST_IF", max: math.MaxUint32, dgram: true, v6: true, setIn: fnControl,
		check: onlyInterface,
		set:   func(o *options, v uint32) { o.multicastIf6 = v },
		get:   func(o options, _ adjustable) (uint32, error) { return o.multicastIf6, nil },
	},
	{
		level: IPPROTO_UDP, code: UDP_NOCHECKSUM, name: "UDP_NOCHECKSUM", boolean: true, udp: true, dgram: true, setIn: fnControl,
		set: func(o *options, v uint32) { o.noChecksum = v != 0 },
		datagrams: func(o options, d Datagram) error {
			return with(any(d), func(c ChecksumSetter) error { return c.SetNoChecksum(o.noChecksum) })
		},
		get: func(o options, _ adjustable) (uint32, error) { return b2u(o.noChecksum), nil },
	},
	{
		level: IPPROTO_UDP, code: UDP_SEND_MSG_SIZE, name: "UDP_SEND_MSG_SIZE", max: maxDatagram, udp: true, dgram: true, setIn: fnControl,
		set: func(o *options, v uint32) { o.messageSize = int(v) },
		get: func(o options, _ adjustable) (uint32, error) { return uint32(o.messageSize), nil },
	},
	{
		level: IPPROTO_IPV6, code: IPV6_V6ONLY, name: "IPV6_V6ONLY", boolean: true, setIn: fnSetBeforeBind, v6: true,
		set:    func(o *options, v uint32) { o.v6Only = v != 0 },
		adjust: func(o options, t adjustable) error { return t.SetV6Only(o.v6Only) },
		get:    func(o options, _ adjustable) (uint32, error) { return b2u(o.v6Only), nil },
	},
	{
		level: IPPROTO_TCP, tcp: true, code: TCP_MAXRT, name: "TCP_MAXRT", min: 1, max: maxSeconds, setIn: fnControl,
		set:   func(o *options, v uint32) { o.retransmit = time.Duration(v) * time.Second },
		apply: options.applyRetransmit,
		get:   func(o options, _ adjustable) (uint32, error) { return seconds(o.retransmit), nil },
	},
	{
		level: IPPROTO_TCP, tcp: true, code: TCP_MAXRTMS, name: "TCP_MAXRTMS", min: 1, max: maxSeconds * 1000, setIn: fnControl,
		set:   func(o *options, v uint32) { o.retransmit = time.Duration(v) * time.Millisecond },
		apply: options.applyRetransmit,
		get:   func(o options, _ adjustable) (uint32, error) { return uint32(o.retransmit.Milliseconds()), nil },
	},
	{
		level: SOL_SOCKET, code: SO_CONDITIONAL_ACCEPT, name: "SO_CONDITIONAL_ACCEPT", boolean: true, listens: true, setIn: fnSetBeforeBind,
		set:   func(o *options, v uint32) { o.conditional = v != 0 },
		apply: options.setConditional,
		check: func(f *flow, v uint32) ntstatus.Status {
			if l := f.events.tables.listen; v != 0 && (l == nil || l.InspectEvent == nil) {
				return f.fail(FaultEvents, ntstatus.InvalidParameter)
			}
			return ntstatus.Success
		},
		get: func(o options, _ adjustable) (uint32, error) { return b2u(o.conditional), nil },
	},
	{
		level: SOL_SOCKET, code: SO_REUSEADDR, name: "SO_REUSEADDR", boolean: true, bound: true, setIn: fnSetBeforeBind,
		set: func(o *options, v uint32) { o.reuse = v != 0 },
		check: func(f *flow, v uint32) ntstatus.Status {
			return f.excludes(v != 0 && f.options.exclusive)
		},
		get: func(o options, _ adjustable) (uint32, error) { return b2u(o.reuse), nil },
	},
	{
		level: SOL_SOCKET, code: SO_EXCLUSIVEADDRUSE, name: "SO_EXCLUSIVEADDRUSE", boolean: true, bound: true, setIn: fnSetBeforeBind,
		set: func(o *options, v uint32) { o.exclusive = v != 0 },
		check: func(f *flow, v uint32) ntstatus.Status {
			return f.excludes(v != 0 && f.options.reuse)
		},
		get: func(o options, _ adjustable) (uint32, error) { return b2u(o.exclusive), nil },
	},
	{
		level: SOL_SOCKET, code: SO_ACCEPTCONN, name: "SO_ACCEPTCONN", boolean: true, tcp: true,
		of: func(f *flow) uint32 { return b2u(f.state.listens()) },
	},
	{
		level: SOL_SOCKET, code: SO_MAX_MSG_SIZE, name: "SO_MAX_MSG_SIZE", udp: true,
		of: func(f *flow) uint32 { return f.maxMessage() },
	},
	{
		level: IPPROTO_IP, code: IP_TTL, name: "IP_TTL", min: 1, max: 255, bound: true, setIn: fnControl,
		set:    func(o *options, v uint32) { o.ttl = int(v) },
		adjust: options.applyTTL,
		get:    func(o options, _ adjustable) (uint32, error) { return own(o.ttl) },
	},
	{
		level: IPPROTO_IPV6, code: IPV6_UNICAST_HOPS, name: "IPV6_UNICAST_HOPS", min: 1, max: 255, v6: true, bound: true, setIn: fnControl,
		set:    func(o *options, v uint32) { o.hops = int(v) },
		adjust: options.applyHops,
		get:    func(o options, _ adjustable) (uint32, error) { return own(o.hops) },
	},
	{
		level: IPPROTO_IP, code: IP_TOS, name: "IP_TOS", max: 255, bound: true, setIn: fnControl,
		set:    func(o *options, v uint32) { o.tos, o.tosSet = int(v), true },
		adjust: options.applyTOS,
		get:    func(o options, _ adjustable) (uint32, error) { return uint32(o.tos), nil },
	},
	{
		level: IPPROTO_IPV6, code: IPV6_TCLASS, name: "IPV6_TCLASS", max: 255, v6: true, bound: true, setIn: fnControl,
		set:    func(o *options, v uint32) { o.tos, o.tosSet = int(v), true },
		adjust: options.applyTOS,
		get:    func(o options, _ adjustable) (uint32, error) { return uint32(o.tos), nil },
	},
	{
		level: IPPROTO_IP, code: IP_MULTICAST_TTL, name: "IP_MULTICAST_TTL", max: 255, dgram: true, setIn: fnControl,
		set: setMulticastHops, datagrams: options.applyMulticastHops, get: getMulticastHops,
	},
	{
		level: IPPROTO_IPV6, code: IPV6_MULTICAST_HOPS, name: "IPV6_MULTICAST_HOPS", max: 255, dgram: true, v6: true, setIn: fnControl,
		set: setMulticastHops, datagrams: options.applyMulticastHops, get: getMulticastHops,
	},
	{
		level: IPPROTO_IP, code: IP_MULTICAST_LOOP, name: "IP_MULTICAST_LOOP", boolean: true, dgram: true, setIn: fnControl,
		set: setMulticastLoop, datagrams: options.applyMulticastLoop, get: getMulticastLoop,
	},
	{
		level: IPPROTO_IPV6, code: IPV6_MULTICAST_LOOP, name: "IPV6_MULTICAST_LOOP", boolean: true, dgram: true, v6: true, setIn: fnControl,
		set: setMulticastLoop, datagrams: options.applyMulticastLoop, get: getMulticastLoop,
	},
}

// defaultHops is the TTL and hop limit of the transports, as IANA recommends.
const defaultHops = 64

// own is the value that was set, or else the transports'.
func own(hops int) (uint32, error) {
	if hops == 0 {
		return defaultHops, nil
	}
	return uint32(hops), nil
}

// seconds is d in whole seconds, rounded up.
func seconds(d time.Duration) uint32 { return uint32((d + time.Second - 1) / time.Second) }

// excludes refuses an option whose opposite is on.
func (f *flow) excludes(opposite bool) ntstatus.Status {
	if opposite {
		return f.fail(FaultFlags, ntstatus.InvalidParameter)
	}
	return ntstatus.Success
}

// onlyInterface lets the index of the one interface pass, and 0, which leaves the choice.
func onlyInterface(f *flow, index uint32) ntstatus.Status {
	if index != 0 && index != interfaceIndex {
		return f.fail(FaultFlags, ntstatus.InvalidParameter)
	}
	return ntstatus.Success
}

// onlyInterface4 is onlyInterface for IPv4, whose index comes in network order.
func onlyInterface4(f *flow, index uint32) ntstatus.Status {
	return onlyInterface(f, bits.ReverseBytes32(index))
}

// maxMessage is how many bytes a datagram can have.
func (f *flow) maxMessage() uint32 {
	const udp, ipv4 = 8, 20 // bytes of header
	if f.family == AF_INET6 {
		return maxDatagram - udp
	}
	return maxDatagram - udp - ipv4
}

func setMulticastHops(o *options, v uint32) { o.multicastHops = int(v) }
func setMulticastLoop(o *options, v uint32) { o.multicastLoop = v != 0 }

func getMulticastHops(o options, _ adjustable) (uint32, error) { return uint32(o.multicastHops), nil }
func getMulticastLoop(o options, _ adjustable) (uint32, error) { return b2u(o.multicastLoop), nil }

func (o options) applyMulticastHops(d Datagram) error {
	return with(any(d), func(m Multicaster) error { return m.SetMulticastHops(o.multicastHops) })
}

func (o options) applyMulticastLoop(d Datagram) error {
	return with(any(d), func(m Multicaster) error { return m.SetMulticastLoop(o.multicastLoop) })
}
