package stack

import (
	"bytes"
	"context"

	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// Pong is the answer to a Ping.
type Pong struct {
	From     netip.Addr
	RTT      time.Duration // by Config.Clock
	HopLimit uint8         // of its IP header, as it came in
}

// pingPayload is what an echo request carries: 56 bytes, as ping(8) sends them.
const pingPayload = "wskstack wskstack wskstack wskstack wskstack wskstack w\n"

// Ping sends one ICMP echo request to a host, an address or a name, and waits for the
// answer until ctx ends, without a deadline for Config.ConnectTimeout. The error is a
// *net.OpError; that a host or network is unreachable is not told by netstack, and ends
// as a time-out. To send several, dial "ping".
func (s *Stack) Ping(ctx context.Context, host string) (Pong, error) {
	d := Dialer{Stack: s}
	if ctx != nil {
		if _, limited := ctx.Deadline(); !limited {
			d.Timeout = s.cfg.ConnectTimeout
		}
	}
	ctx, cancel, err := d.limit(ctx)
	defer cancel()
	if err != nil {
		return Pong{}, d.failed(string(overPing), netip.AddrPort{}, netip.AddrPort{}, err)
	}
	dialled, err := d.DialContext(ctx, string(overPing), host)
	if err != nil {
		return Pong{}, err
	}
	c := dialled.(*PingConn)
	defer func() { _ = c.Close() }()
	defer context.AfterFunc(ctx, c.reads.by.expire)()
	pong, err := c.ping()
	if err != nil && ctx.Err() != nil {
		return Pong{}, c.failure("ping", "read", nil, ended(ctx))
	}
	return pong, err
}

// ping sends one request and waits for the answer.
func (c *PingConn) ping() (Pong, error) {
	clock := c.d.stack.cfg.Clock
	request := make([]byte, header.ICMPv4MinimumSize, header.ICMPv4MinimumSize+len(pingPayload))
	request[0] = byte(header.ICMPv4Echo)
	if c.d.v6 {
		request[0] = byte(header.ICMPv6EchoRequest)
	}
	request = append(request, pingPayload...)
	sent := clock.NowMonotonic()
	if _, err := c.Write(request); err != nil {
		return Pong{}, err
	}
	answer := make([]byte, len(request)+1)
	for {
		got, err := c.receive(answer)
		if err != nil {
			return Pong{}, c.failure("read", "read", nil, err)
		}
		if bytes.Equal(answer[header.ICMPv4MinimumSize:got.Bytes], request[header.ICMPv4MinimumSize:]) {
			return Pong{From: got.From.Addr(), RTT: clock.NowMonotonic().Sub(sent), HopLimit: got.HopLimit}, nil
		}
	}
}
