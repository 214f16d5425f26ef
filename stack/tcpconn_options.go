package stack

import (
	"net"
	"time"
)

// The keep-alive of connections that say nothing else, which is package net's.
const (
	DefaultKeepAliveIdle     = 15 * time.Second
	DefaultKeepAliveInterval = 15 * time.Second
	DefaultKeepAliveCount    = 9
)

// keepAliveOf is what the two fields of a Dialer or ListenConfig mean together.
func keepAliveOf(idle time.Duration, cfg net.KeepAliveConfig) net.KeepAliveConfig {
	if !cfg.Enable && idle >= 0 {
		return net.KeepAliveConfig{Enable: true, Idle: idle}
	}
	return cfg
}

// SetNoDelay turns Nagle's algorithm off (true, as it is from the start) or on.
func (c *TCPConn) SetNoDelay(on bool) error { return c.set(c.ep.SetNoDelay(on)) }

// SetKeepAlive turns keep-alive probes on or off.
func (c *TCPConn) SetKeepAlive(on bool) error {
	c.keepAlive.Store(on)
	return c.set(c.ep.SetKeepAlive(on, 0, 0, 0))
}

// SetKeepAlivePeriod sets the time without traffic before the first probe. 0 is
// DefaultKeepAliveIdle; less changes nothing.
func (c *TCPConn) SetKeepAlivePeriod(d time.Duration) error {
	idle := orDefault(d, DefaultKeepAliveIdle)
	return c.set(c.ep.SetKeepAlive(c.keepAlive.Load(), idle, 0, 0))
}

// SetKeepAliveConfig sets all that belongs to keep-alive probes. Fields that are 0 are
// the defaults; negative ones change nothing.
func (c *TCPConn) SetKeepAliveConfig(cfg net.KeepAliveConfig) error {
	c.keepAlive.Store(cfg.Enable)
	return c.set(c.ep.setKeepAliveConfig(cfg))
}

func (e *Endpoint) setKeepAliveConfig(cfg net.KeepAliveConfig) error {
	return e.SetKeepAlive(cfg.Enable,
		orDefault(cfg.Idle, DefaultKeepAliveIdle),
		orDefault(cfg.Interval, DefaultKeepAliveInterval),
		orDefault(cfg.Count, DefaultKeepAliveCount))
}

// orDefault is v, the default for 0, and 0, which changes nothing, for less.
func orDefault[T int | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return max(v, 0)
}

// SetLinger says how Close ends the connection: with a reset that discards what was
// not delivered (0), with a reset unless all is delivered within sec seconds, or as
// Config.CloseTimeout says (negative, and from the start). Close does not wait in any
// case.
func (c *TCPConn) SetLinger(sec int) error {
	return c.set(c.ep.SetLinger(time.Duration(sec) * time.Second))
}

// SetReadBuffer sets the size of the receive buffer in bytes, within Config's bounds,
// and ends its growth.
func (c *TCPConn) SetReadBuffer(bytes int) error { return c.set(c.ep.SetReceiveBuffer(bytes)) }

// SetWriteBuffer sets the size of the send buffer in bytes, within Config's bounds, and
// ends its growth.
func (c *TCPConn) SetWriteBuffer(bytes int) error { return c.set(c.ep.SetSendBuffer(bytes)) }

// set is the result of a setting.
func (c *TCPConn) set(err error) error {
	if err != nil {
		return c.failure("set", "setsockopt", err)
	}
	return nil
}
