package stack

import (
	"net"
	"slices"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// options are the settings made on an endpoint, in their order. They are kept
// because a socket can be replaced, and for a listener's connections: netstack
// hands down few of them.
type options struct{ set []option }

type option struct {
	name    optionName
	inherit bool // goes to accepted connections
	apply   func(tcpip.Endpoint) tcpip.Error
}

type optionName uint8

const (
	optNoDelay optionName = iota
	optKeepAlive
	optMaxSegment
	optReuseAddress
	optReusePort
	optTTL
	optHopLimit
	optTOS
	optUserTimeout
	optReceiveBuffer
	optSendBuffer
	optLinger
)

func (o *options) put(n option) {
	o.set = slices.DeleteFunc(o.set, func(old option) bool { return old.name == n.name })
	o.set = append(o.set, n)
}

func (o *options) apply(ep tcpip.Endpoint) error {
	for _, n := range o.set {
		if err := n.apply(ep); err != nil {
			return toErrno(err)
		}
	}
	return nil
}

// again applies one option, if it was set, to an endpoint that has it already.
// Netstack starts the timer of keep-alive probes when the option is set on a connection
// or data moves: set before, a connection on which nothing is said would have none.
func (o *options) again(name optionName, ep tcpip.Endpoint) {
	for _, n := range o.set {
		if n.name == name {
			_ = n.apply(ep) // it was taken once; it fails only if the connection has broken
		}
	}
}

// inherited is what an accepted connection begins with.
func (o *options) inherited() options {
	var child options
	for _, n := range o.set {
		if n.inherit {
			child.put(n)
		}
	}
	return child
}

// setOption applies an option now and to every later socket of the endpoint.
func (e *Endpoint) setOption(n option) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.phase == phaseClosed {
		return net.ErrClosed
	}
	if e.sock != nil {
		if err := n.apply(e.sock.ep); err != nil {
			return toErrno(err)
		}
	}
	e.options.put(n)
	return nil
}

// SetNoDelay turns Nagle's algorithm off (true, as it is from the start) or on.
func (e *Endpoint) SetNoDelay(on bool) error {
	return e.setOption(option{optNoDelay, true, func(ep tcpip.Endpoint) tcpip.Error {
		ep.SocketOptions().SetDelayOption(!on)
		return nil
	}})
}

// SetKeepAlive turns keep-alive probes on or off: the first after idle without
// traffic, then one every interval, and the connection fails when count of them
// are unanswered. Values of 0 are netstack's: 2 h, 75 s, 9. EINVAL for negative
// ones.
func (e *Endpoint) SetKeepAlive(on bool, idle, interval time.Duration, count int) error {
	if idle < 0 || interval < 0 || count < 0 {
		return syscall.EINVAL
	}
	return e.setOption(option{optKeepAlive, true, func(ep tcpip.Endpoint) tcpip.Error {
		if idle > 0 {
			o := tcpip.KeepaliveIdleOption(idle)
			if err := ep.SetSockOpt(&o); err != nil {
				return err
			}
		}
		if interval > 0 {
			o := tcpip.KeepaliveIntervalOption(interval)
			if err := ep.SetSockOpt(&o); err != nil {
				return err
			}
		}
		if count > 0 {
			if err := ep.SetSockOptInt(tcpip.KeepaliveCountOption, count); err != nil {
				return err
			}
		}
		ep.SocketOptions().SetKeepAlive(on)
		return nil
	}})
}

// SetMaxSegment lowers the largest segment that the peer is asked to send, in
// bytes; for a connection it has to be set before Connect. EINVAL if it is not
// between 48 and 32767.
func (e *Endpoint) SetMaxSegment(bytes int) error {
	return e.setOption(option{optMaxSegment, true, func(ep tcpip.Endpoint) tcpip.Error {
		return ep.SetSockOptInt(tcpip.MaxSegOption, bytes)
	}})
}

// SetReuseAddress allows Bind to a port that connections which have ended still
// hold. It has to be set before Bind.
func (e *Endpoint) SetReuseAddress(on bool) error {
	return e.setOption(option{optReuseAddress, false, func(ep tcpip.Endpoint) tcpip.Error {
		ep.SocketOptions().SetReuseAddress(on)
		return nil
	}})
}

// SetReceiveBuffer sets the receive buffer's size in bytes, within the stack's
// bounds, and ends its growth. Half of it is the largest window.
func (e *Endpoint) SetReceiveBuffer(bytes int) error {
	b := e.stack.cfg.ReceiveBuffer
	size := int64(min(max(bytes, b.Min), b.Max))
	return e.setOption(option{optReceiveBuffer, true, func(ep tcpip.Endpoint) tcpip.Error {
		ep.SocketOptions().SetReceiveBufferSize(size, true)
		return nil
	}})
}

// SetSendBuffer sets the send buffer's size in bytes, within the stack's bounds,
// and ends its growth.
func (e *Endpoint) SetSendBuffer(bytes int) error {
	b := e.stack.cfg.SendBuffer
	size := int64(min(max(bytes, b.Min), b.Max))
	return e.setOption(option{optSendBuffer, true, func(ep tcpip.Endpoint) tcpip.Error {
		ep.SocketOptions().SetSendBufferSize(size, true)
		return nil
	}})
}

// SetLinger says how Close ends a connection: reset at once (0), reset unless all
// is delivered within d (positive), or as the stack's Config says (negative, and
// from the start). Close does not wait in any case.
func (e *Endpoint) SetLinger(d time.Duration) error {
	err := e.setOption(option{optLinger, true, func(ep tcpip.Endpoint) tcpip.Error {
		// Netstack knows but one kind of lingering: none.
		ep.SocketOptions().SetLinger(tcpip.LingerOption{Enabled: d == 0})
		return nil
	}})
	if err == nil {
		e.linger.Store(int64(max(d, 0)))
	}
	return err
}

// SetV6Only says whether an IPv6 endpoint speaks IPv6 alone. Errors: EINVAL once
// the endpoint is bound or in use, ENOPROTOOPT for an IPv4 endpoint.
func (e *Endpoint) SetV6Only(on bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.phase == phaseClosed:
		return net.ErrClosed
	case e.proto != header.IPv6ProtocolNumber:
		return syscall.ENOPROTOOPT
	case e.phase != phaseIdle || e.isBound:
		return syscall.EINVAL
	}
	e.v6only = on
	if e.sock != nil {
		e.sock.ep.SocketOptions().SetV6Only(on)
	}
	return nil
}
