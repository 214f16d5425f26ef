package wsk

import (
	"net/netip"
	"time"
)

// Network makes the transports that sockets stand on.
type Network interface {
	// NewTransport returns an unbound TCP transport: for IPv4, or with v6 for
	// IPv6, where it also carries IPv4 (as v4-mapped addresses) until SetV6Only.
	// It does not block.
	NewTransport(v6 bool) (Transport, error)
}

// Transport is one TCP connection as this package needs it. No method blocks.
// Errors carry a syscall.Errno; syscall.EAGAIN means not now, io.EOF the peer's
// FIN, net.ErrClosed that the network beneath has gone. Calls come from one
// goroutine at a time. wsk gives each transport up with Close or Abort.
type Transport interface {
	// SetWake is called once, first; what happened before is not told. wake is to be called whenever anything below
	// may answer differently than before: connected, readable, writable, the FIN
	// acknowledged, failed; for acknowledged bytes as WakeWhenUnacknowledged says.
	// wake only signals: it takes no lock and may be
	// called from any goroutine and under any lock.
	SetWake(wake func())

	// Bind sets the local address; port 0 asks for a free one.
	Bind(local netip.AddrPort) error
	// Listen makes a bound transport accept connections; up to backlog of them
	// wait. Close resets those that wait.
	Listen(backlog int) error
	// Accept returns the next connection, established and with this transport's
	// options, EAGAIN if none waits.
	Accept() (Transport, error)
	// Connect starts to connect; an error says that nothing was started.
	Connect(remote netip.AddrPort, opts ConnectOptions) error
	// Connected tells how far the connect has come. An error with
	// ProgressEstablished means that the connection came up and then failed.
	Connected() (Progress, error)

	// Read fills dst in order with what is there, at least one byte, or answers
	// EAGAIN, io.EOF or why the connection failed.
	Read(dst [][]byte) (int, error)
	// Readable is the number of bytes that Read would return at most.
	Readable() int
	// IdealBacklog is how many bytes, taken over and not acknowledged, keep the
	// connection busy.
	IdealBacklog() int
	// Write takes what it can of src, in order; EAGAIN if that is nothing. It has
	// no further use for src once it returned.
	Write(src [][]byte) (int, error)
	// Unacknowledged is the number of bytes taken (by Write, and from
	// ConnectOptions.Data) that the peer has not acknowledged yet. It may be
	// anything once the connection has failed.
	Unacknowledged() int
	// WakeWhenUnacknowledged asks for wake to be called, once, when no more than most
	// bytes are unacknowledged, at once if that is so; a later call takes the place
	// of an earlier one. It is called only when the connect is done.
	WakeWhenUnacknowledged(most int)
	// CloseWrite sends a FIN after everything taken so far.
	CloseWrite() error
	// WriteClosed reports whether the peer has acknowledged the FIN. It may be
	// anything once the connection has failed.
	WriteClosed() bool
	// Err is why the connection no longer works, nil while it does.
	Err() error

	// LocalAddr and RemoteAddr return the zero AddrPort if there is none.
	LocalAddr() netip.AddrPort
	RemoteAddr() netip.AddrPort

	// Close gives the transport up in an orderly way, in the background.
	Close() error
	// Abort gives it up at once, with a RST if there is a connection.
	Abort()

	// The options. A getter may answer EOPNOTSUPP.

	SetNoDelay(on bool) error
	SetKeepAlive(on bool, idle, interval time.Duration, count int) error
	SetMaxSegment(bytes int) error
	MaxSegment() (int, error)
	SetV6Only(on bool) error
	SetReceiveBuffer(bytes int) error
	ReceiveBuffer() (int, error)
	SetSendBuffer(bytes int) error
	SendBuffer() (int, error)
}

// ConnectOptions goes with Transport.Connect.
type ConnectOptions struct {
	// Data, 0 to MaxConnectData bytes, precedes everything written later. The
	// transport owns it from now on.
	Data []byte
	// FastOpen allows TCP Fast Open (RFC 7413): Data, or a part of it, may leave
	// in the SYN, and a cookie may be asked for.
	FastOpen bool
	// Timeout limits the connect, the hand-over of Data included; 0: the transport's
	// own limit.
	Timeout time.Duration
}

// Progress is how far a connect has come.
type Progress uint8

// The stages of a connect.
const (
	ProgressConnecting  Progress = iota // the handshake is not over
	ProgressEstablished                 // it is, but not all of Data has been taken over
	ProgressDone                        // all of Data has been taken over as well
)
