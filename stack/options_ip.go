package stack

import (
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// SetReusePort lets other endpoints that have it set bind the same port: which of
// them gets what comes in depends on how exact their addresses are, then on netstack's
// hash. It has to be set before Bind. Who may share is the caller's to decide.
func (e *Endpoint) SetReusePort(on bool) error {
	return e.setOption(option{optReusePort, false, func(ep tcpip.Endpoint) tcpip.Error {
		ep.SocketOptions().SetReusePort(on)
		return nil
	}})
}

// SetTTL sets the time to live of IPv4 packets, 1 to 255. EINVAL for others.
func (e *Endpoint) SetTTL(hops int) error { return e.setByte(optTTL, tcpip.IPv4TTLOption, hops, 1) }

// SetHopLimit sets the hop limit of IPv6 packets, 1 to 255. EINVAL for others.
func (e *Endpoint) SetHopLimit(hops int) error {
	return e.setByte(optHopLimit, tcpip.IPv6HopLimitOption, hops, 1)
}

// SetTOS sets the type of service of IPv4 packets and the traffic class of IPv6
// packets, 0 to 255; the two ECN bits are netstack's. EINVAL for others.
func (e *Endpoint) SetTOS(tos int) error { return e.setByte(optTOS, tcpip.IPv4TOSOption, tos, 0) }

func (e *Endpoint) setByte(name optionName, opt tcpip.SockOptInt, v, least int) error {
	if v < least || v > 255 {
		return syscall.EINVAL
	}
	return e.setOption(option{name, true, func(ep tcpip.Endpoint) tcpip.Error { return ep.SetSockOptInt(opt, v) }})
}

// SetUserTimeout limits how long data may stay unacknowledged before the connection
// fails with ETIMEDOUT (RFC 9293 §3.8.3); 0: netstack's own limit. EINVAL for a
// negative one.
func (e *Endpoint) SetUserTimeout(d time.Duration) error {
	if d < 0 {
		return syscall.EINVAL
	}
	return e.setOption(option{optUserTimeout, true, func(ep tcpip.Endpoint) tcpip.Error {
		v := tcpip.TCPUserTimeoutOption(d)
		return ep.SetSockOpt(&v)
	}})
}
