package daemon

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/metrics"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/proxy"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/pump"
)

// firstBytes is how much of a client's first bytes is handed to a dial, in bytes.
// A SYN has room for 1,420 of them; the rest leaves with the handshake's ACK.
const firstBytes = 16 << 10

// proxied serves a client that says first where it wants to go.
func (d *daemon) proxied(ctx context.Context, c pump.Conn, wait time.Duration, s *metrics.Service) {
	n, err := negotiate(ctx, c)
	p := n.Protocol()
	if err != nil {
		d.ended(p, resultOrGone(err), proxy.Target{}, err)
		hangUp(ctx, c)
		return
	}
	t := n.Request().Target
	refuse := func(err error) {
		r := resultOf(err)
		d.ended(p, r, t, err)
		if _, err := c.Write(p.Answer(r, netip.AddrPort{}, err.Error())); err == nil {
			hangUp(ctx, c)
			return
		}
		pump.Reset(c)
	}
	dial, cancel := context.WithTimeout(ctx, d.opts.ConnectTimeout)
	defer cancel()
	addrs, err := d.addresses(dial, t, &d.guard)
	if err != nil {
		refuse(err)
		return
	}
	data := n.Early()
	granted := false
	if wait > 0 && d.carries(addrs, t.Port) {
		if granted = d.grant(c, p, netip.AddrPort{}); !granted {
			return
		}
		if len(data) == 0 {
			data = first(c, wait)
		}
	}
	peer, err := d.net.dial(dial, t, addrs, data)
	switch {
	case err != nil && granted:
		d.ended(p, resultOf(err), t, err)
		pump.Reset(c)
		return
	case err != nil:
		refuse(err)
		return
	}
	d.ended(p, proxy.Granted, t, nil)
	if !granted && !d.grant(c, p, localOf(peer)) {
		pump.Reset(peer)
		return
	}
	d.join(ctx, c, peer, s, uint64(len(data)))
}

// resultOrGone is the result of a negotiation that failed: the client's fault, or
// nobody's.
func resultOrGone(err error) proxy.Result {
	if errors.Is(err, proxy.ErrProtocol) {
		return proxy.ResultOf(err)
	}
	return proxy.TimedOut
}

// negotiate reads what a client wants, and leaves its connection without deadline.
func negotiate(ctx context.Context, c pump.Conn) (*proxy.Negotiation, error) {
	defer limit(ctx, c, negotiationLimit)()
	var n proxy.Negotiation
	buf := make([]byte, 1<<10)
	for {
		k, rerr := c.Read(buf)
		answer, done, err := n.Take(buf[:k])
		if len(answer) > 0 {
			if _, werr := c.Write(answer); err == nil {
				err = werr
			}
		}
		if err == nil && !done {
			err = rerr
		}
		if err != nil || done {
			return &n, err
		}
	}
}

// limit gives a connection's reads and writes a time, which is over as soon as the
// context is. The function that it returns takes it away.
func limit(ctx context.Context, c pump.Conn, d time.Duration) (done func()) {
	_ = c.SetDeadline(time.Now().Add(d))
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	return func() {
		if stop() {
			_ = c.SetDeadline(time.Time{})
		}
	}
}

// grant tells the client that its bytes will go through.
func (d *daemon) grant(c pump.Conn, p proxy.Protocol, bound netip.AddrPort) bool {
	_ = c.SetWriteDeadline(time.Now().Add(negotiationLimit))
	if _, err := c.Write(p.Answer(proxy.Granted, bound, "")); err != nil {
		pump.Reset(c)
		return false
	}
	_ = c.SetWriteDeadline(time.Time{})
	return true
}

// lingerLimit is how long, and lingerBytes how much, a client that was refused may
// go on sending; what is unread when its connection is closed would make a reset,
// which destroys the answer on its way.
const (
	lingerLimit = time.Second
	lingerBytes = 64 << 10
)

// hangUp closes a connection so that the client can read the answer.
func hangUp(ctx context.Context, c pump.Conn) {
	defer limit(ctx, c, lingerLimit)()
	if c.CloseWrite() == nil {
		_, _ = io.CopyN(io.Discard, c, lingerBytes)
	}
	_ = c.Close()
}

// forwarded serves a client whose target is known.
func (d *daemon) forwarded(ctx context.Context, c pump.Conn, f Forward, s *metrics.Service) {
	dial, cancel := context.WithTimeout(ctx, d.opts.ConnectTimeout)
	defer cancel()
	addrs, err := d.addresses(dial, f.To, nil)
	var peer pump.Conn
	var data []byte
	if err == nil {
		if f.Wait > 0 && d.carries(addrs, f.To.Port) {
			data = first(c, f.Wait)
		}
		peer, err = d.net.dial(dial, f.To, addrs, data)
	}
	if err != nil {
		s.Failed.Add(1)
		d.log.Debug("not forwarded", slog.String("to", f.To.String()), slog.Any("error", err))
		pump.Reset(c)
		return
	}
	d.join(ctx, c, peer, s, uint64(len(data)))
}

// exposed serves a peer of the stack with a service of the host.
func (d *daemon) exposed(ctx context.Context, c pump.Conn, e Expose, s *metrics.Service) {
	dialer := net.Dialer{Timeout: d.opts.ConnectTimeout}
	service, err := dialer.DialContext(ctx, "tcp", e.To.String())
	if err != nil {
		s.Failed.Add(1)
		d.log.Debug("not exposed", slog.String("to", e.To.String()), slog.Any("error", err))
		pump.Reset(c)
		return
	}
	d.join(ctx, c, service.(pump.Conn), s, 0)
}

// carries says whether the first SYN to one of these addresses would carry data.
func (d *daemon) carries(addrs []netip.Addr, port uint16) bool {
	for _, a := range addrs {
		if d.net.carries(netip.AddrPortFrom(a, port)) {
			return true
		}
	}
	return false
}

// first reads a client's first bytes, those that come within the wait. What ends the
// reading otherwise is found once more by the pump.
func first(c pump.Conn, wait time.Duration) []byte {
	buf := make([]byte, firstBytes)
	_ = c.SetReadDeadline(time.Now().Add(wait))
	n, _ := c.Read(buf)
	_ = c.SetReadDeadline(time.Time{})
	return buf[:n]
}

// join moves bytes between a client and its peer, who has got so many already.
func (d *daemon) join(ctx context.Context, client, peer pump.Conn, s *metrics.Service, already uint64) {
	s.ToPeer.Add(already)
	err := pump.Run(ctx, client, peer, pump.Config{HalfClose: d.opts.HalfClose, AToB: &s.ToPeer, BToA: &s.FromPeer})
	if err != nil {
		s.Cut.Add(1)
		d.log.Debug("connection cut", slog.Any("error", err))
	}
}

// ended counts a request, and says what became of it to those who want to know.
func (d *daemon) ended(p proxy.Protocol, r proxy.Result, t proxy.Target, err error) {
	d.requests.Add(p, r)
	attrs := []any{slog.String("protocol", p.String()), slog.String("result", r.String())}
	if t.Port != 0 {
		attrs = append(attrs, slog.String("to", t.String()))
	}
	if err != nil {
		attrs = append(attrs, slog.Any("error", err))
	}
	d.log.Debug("request", attrs...)
}

// localOf is a connection's address on this side.
func localOf(c net.Conn) netip.AddrPort {
	if a, ok := c.LocalAddr().(*net.TCPAddr); ok {
		return a.AddrPort()
	}
	return netip.AddrPort{}
}
