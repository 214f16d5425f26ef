package kernelpeer

import (
	"errors"
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Bits of tcpi_options (include/uapi/linux/tcp.h).
const (
	optSYNData  = 32
	optTFOChild = 128
)

// Info is what the kernel knows about a connection (TCP_INFO).
type Info struct {
	// State is the kernel's number of the TCP state, unix.BPF_TCP_ESTABLISHED
	// and so on.
	State uint8
	// SYNData (TCPI_OPT_SYN_DATA): a client's data in its SYN was acknowledged;
	// a server's client had data in its SYN and it was accepted.
	SYNData bool
	// FastOpenChild (TCPI_OPT_TFO_CHILD): a server's connection was made by Fast
	// Open, with or without data. Always false on kernels before 6.15.
	FastOpenChild bool
	// FastOpenFail is why a client's Fast Open failed (tcpi_fastopen_client_fail).
	FastOpenFail FailReason
	// RTT is the kernel's smoothed estimate.
	RTT time.Duration
	// BytesReceived and BytesAcked count the stream both ways.
	BytesReceived, BytesAcked uint64
	// Retransmits counts segments sent again over the connection's life.
	Retransmits uint32
}

// FailReason is why a client's Fast Open failed.
type FailReason uint8

// The kernel's reasons.
const (
	FailNone FailReason = iota
	FailCookieUnavailable
	FailDataNotAcked
	FailSYNRetransmitted
)

// String implements fmt.Stringer.
func (r FailReason) String() string {
	return [...]string{"none", "cookie unavailable", "data not acknowledged", "SYN retransmitted"}[r&3]
}

// readInfo asks the kernel about a socket.
func readInfo(conn syscall.RawConn) (Info, error) {
	var info Info
	var opErr error
	err := conn.Control(func(fd uintptr) { info, opErr = infoOf(int(fd)) })
	if err == nil {
		err = opErr
	}
	if err != nil {
		return Info{}, fmt.Errorf("kernelpeer: TCP_INFO: %w", err)
	}
	return info, nil
}

func infoOf(fd int) (Info, error) {
	raw, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return Info{}, err
	}
	// The eighth byte holds bit fields that x/sys has no name for:
	// delivery_rate_app_limited (1 bit), then fastopen_client_fail (2 bits).
	bits := (*[8]byte)(unsafe.Pointer(raw))[7]
	return Info{
		State:         raw.State,
		SYNData:       raw.Options&optSYNData != 0,
		FastOpenChild: raw.Options&optTFOChild != 0,
		FastOpenFail:  FailReason(bits >> 1 & 3),
		RTT:           time.Duration(raw.Rtt) * time.Microsecond,
		BytesReceived: raw.Bytes_received,
		BytesAcked:    raw.Bytes_acked,
		Retransmits:   raw.Total_retrans,
	}, nil
}

// peeked is the most that queued looks at: more than any SYN carries.
const peeked = 64 << 10

// queued is how many bytes can be read from a socket at once, up to peeked.
// SIOCINQ would not tell: before the end of the handshake it says 0, whatever
// came with the SYN.
func queued(conn syscall.RawConn) (int, error) {
	var n int
	var opErr error
	err := conn.Control(func(fd uintptr) {
		n, _, opErr = unix.Recvfrom(int(fd), make([]byte, peeked), unix.MSG_PEEK|unix.MSG_DONTWAIT)
	})
	switch {
	case errors.Is(opErr, unix.EAGAIN):
		return 0, nil
	case err == nil:
		err = opErr
	}
	if err != nil {
		return 0, fmt.Errorf("kernelpeer: looking at the first bytes: %w", err)
	}
	return n, nil
}
