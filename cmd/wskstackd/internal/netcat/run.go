package netcat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/await"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/report"
	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
)

// runName is the name of a connection in reports.
const runName = "connect"

// Run makes the connections: in goes to the peer, what the peer sends to out. done
// is called after each connection. It ends when the last one has, at the first
// failure, or with the context.
func (s *Session) Run(ctx context.Context, in io.Reader, out io.Writer, done func(report.Run) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	src, err := s.source(ctx, in)
	if err != nil {
		return err
	}
	for range s.opts.Repeat {
		run, err := s.connect(ctx, src, out)
		if err != nil {
			return s.explain(err)
		}
		if err := done(run); err != nil {
			return err
		}
	}
	return nil
}

// source takes from the input what the options ask for before connecting.
func (s *Session) source(ctx context.Context, in io.Reader) (source, error) {
	chunks := pump(ctx, in)
	switch {
	case s.opts.Repeat > 1:
		return takeAll(ctx, chunks)
	case !s.opts.FastOpen:
		return source{rest: chunks}, nil
	}
	return take(ctx, chunks, s.opts.Wait)
}

// connect makes one connection and waits for its end.
func (s *Session) connect(ctx context.Context, src source, out io.Writer) (report.Run, error) {
	network := "tcp4"
	if s.remote.Addr().Is6() {
		network = "tcp6"
	}
	ep, err := s.stack.NewEndpoint(network)
	if err != nil {
		return report.Run{}, err
	}
	c := await.New(ep)
	defer ep.Abort() // does nothing after a Close
	m := meter{begin: time.Now()}
	// Without a first payload there is nothing to put into the SYN.
	opts := stack.ConnectOptions{FastOpen: fastopen.ModeOff}
	head := src.first[:min(len(src.first), chunkSize)]
	if s.opts.FastOpen && len(head) > 0 {
		opts = stack.ConnectOptions{Data: head, FastOpen: fastopen.ModeDefault}
		src.first = src.first[len(head):]
		m.sent = len(head)
	}
	if err := c.Connect(ctx, s.remote, opts); err != nil {
		return report.Run{}, err
	}
	m.handshake = time.Since(m.begin)
	if err := transfer(ctx, c, src, out, &m, peerDecides); err != nil {
		return report.Run{}, err
	}
	run := m.run(ep.FastOpenInfo(), s.remote.Addr().Is6())
	return run, end(ctx, c)
}

// meter measures a connection. sent belongs to the sender until it has ended, the
// rest to the receiver.
type meter struct {
	begin            time.Time
	sent             int
	handshake, first time.Duration
}

// run is the report. The round trip to compare with is the handshake's.
func (m *meter) run(o fastopen.Outcome, v6 bool) report.Run {
	rtt := o.HandshakeRTT
	if rtt == 0 {
		rtt = m.handshake
	}
	family := 4
	if v6 {
		family = 6
	}
	return report.Run{
		Name:               runName,
		Family:             report.Family(family),
		Bytes:              m.sent,
		BytesInSYN:         o.BytesInSYN,
		BytesAcceptedInSYN: o.BytesAccepted,
		TTFBms:             report.Milliseconds(m.first),
		RoundTrips:         report.RoundTrips(m.first, rtt),
		FastOpen:           o.BytesAccepted > 0,
		Reason:             report.Reason(o, m.sent),
	}
}

// explain says what a connection's error means and what to do.
func (s *Session) explain(err error) error {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%v refused the connection: check the port, and that the service runs and listens on that address: %w", s.remote, err)
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return unavailable("no route to %v (%v): the host or a router on the way has none; 'ip route get %v' shows what the host knows", s.remote, err, s.remote.Addr())
	case errors.Is(err, syscall.ETIMEDOUT):
		return fmt.Errorf("%v did not answer (--timeout is %v): check the address, and that packets from %v find their way back: %w", s.remote, s.opts.Timeout, s.link.Masked(), err)
	case errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("%v reset the connection: see its log: %w", s.remote, err)
	}
	return err
}
