package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/await"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/ladder"
	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// sample is one connection: a question, the whole answer, and both sides closed.
type sample struct {
	// ttfb is the time from the call that connects to the first byte of the
	// answer in the application's hands.
	ttfb time.Duration
	// trace is what was on the wire, outcome what the Fast Open layer says.
	trace   ladder.Trace
	outcome fastopen.Outcome
	// peer is what the peer says, where it was the client.
	peer asked
}

// exchange makes one connection. It fails if the answer is not the one to the
// whole question.
type exchange func(ctx context.Context, question []byte) (sample, error)

// record completes a sample with what the relay saw of the connection, and keeps
// the trace for the count in the end.
func (r *rig) record(s sample, local netip.AddrPort) sample {
	s.trace = ladder.New(r.seen.Reset(), local)
	r.traces = append(r.traces, s.trace)
	return s
}

// check compares what the peer says it got with what was sent.
func check(question, got []byte) error {
	if want := answer(question); !bytes.Equal(got, want) {
		return fmt.Errorf("the peer did not get the request as it was sent: it answered %q instead of %q", got, want)
	}
	return nil
}

// throughStack makes connections with stack.Endpoint.
func (r *rig) throughStack(mode fastopen.Mode) exchange {
	return func(ctx context.Context, question []byte) (sample, error) {
		remote := r.peer.addr()
		ep, err := r.stack.NewEndpoint(network(remote.Addr()))
		if err != nil {
			return sample{}, err
		}
		c := await.New(ep)
		defer ep.Abort() // does nothing after a Close
		begin := time.Now()
		opts := stack.ConnectOptions{Data: question, FastOpen: mode}
		if mode == fastopen.ModeOff {
			opts.Data = nil
		}
		if err := c.Connect(ctx, remote, opts); err != nil {
			return sample{}, fmt.Errorf("connecting: %w", err)
		}
		if mode == fastopen.ModeOff {
			if err := c.Write(ctx, question); err != nil {
				return sample{}, fmt.Errorf("sending: %w", err)
			}
		}
		local := ep.LocalAddr()
		got, first, err := readAll(func(b []byte) (int, error) { return c.Read(ctx, b) })
		if err != nil {
			return sample{}, fmt.Errorf("reading the answer: %w", err)
		}
		s := sample{ttfb: first.Sub(begin), outcome: ep.FastOpenInfo()}
		if err := ep.CloseWrite(); err != nil {
			return sample{}, fmt.Errorf("closing: %w", err)
		}
		if err := c.Ended(ctx); err != nil {
			return sample{}, fmt.Errorf("closing: %w", err)
		}
		return r.record(s, local), errors.Join(check(question, got), ep.Close())
	}
}

// readAll reads to the end, and says when the first byte was there.
func readAll(read func([]byte) (int, error)) (got []byte, first time.Time, err error) {
	buf := make([]byte, 4096)
	for {
		n, err := read(buf)
		if len(got) == 0 && n > 0 {
			first = time.Now()
		}
		got = append(got, buf[:n]...)
		switch {
		case errors.Is(err, io.EOF):
			return got, first, nil
		case err != nil:
			return got, first, err
		}
	}
}

// throughWSK makes connections with WSK: WskConnectEx with the question, or
// WskConnect and then WskSend.
func (r *rig) throughWSK(fastOpen bool) exchange {
	return func(ctx context.Context, question []byte) (_ sample, err error) {
		remote := r.peer.addr()
		sock, err := r.wsk.open(ctx, remote.Addr(), fastOpen)
		if err != nil {
			return sample{}, err
		}
		defer func() { err = errors.Join(err, sock.close(ctx)) }()
		begin := time.Now()
		if fastOpen {
			err = sock.connectEx(ctx, remote, question)
		} else {
			err = sock.connectThenSend(ctx, remote, question)
		}
		if err != nil {
			return sample{}, err
		}
		got, first, err := readAll(sock.read(ctx))
		if err != nil {
			return sample{}, err
		}
		s := sample{ttfb: first.Sub(begin), outcome: r.wsk.network.Outcome()}
		local, err := sock.localAddr(ctx)
		if err != nil {
			return sample{}, err
		}
		if err := sock.disconnect(ctx); err != nil {
			return sample{}, err
		}
		return r.record(s, local), check(question, got)
	}
}

// read is WskReceive in the manner of io.Reader.
func (s wskSocket) read(ctx context.Context) func([]byte) (int, error) {
	return func(b []byte) (int, error) {
		n, err := s.receive(ctx, b)
		if err == nil && n == 0 {
			err = io.EOF
		}
		return n, err
	}
}

// connectEx connects with the first bytes in the same call.
func (s wskSocket) connectEx(ctx context.Context, remote netip.AddrPort, data []byte) error {
	_, err := do(ctx, "WskConnectEx", func(i *irp.IRP) ntstatus.Status {
		to := wsk.SockAddrFrom(remote)
		return s.ConnectEx(&to, wsk.NewBuf(data), 0, i)
	})
	return err
}

// connectThenSend connects, and sends when that is done. The send is not waited
// for: WskSend completes when its bytes are acknowledged.
func (s wskSocket) connectThenSend(ctx context.Context, remote netip.AddrPort, data []byte) error {
	_, err := do(ctx, "WskConnect", func(i *irp.IRP) ntstatus.Status {
		to := wsk.SockAddrFrom(remote)
		return s.Connect(&to, 0, i)
	})
	if err != nil {
		return err
	}
	if status := s.send(data); status != ntstatus.Pending {
		return fmt.Errorf("WskSend: %w", status.Err())
	}
	return nil
}

// disconnect ends the connection gracefully.
func (s wskSocket) disconnect(ctx context.Context) error {
	_, err := do(ctx, "WskDisconnect", func(i *irp.IRP) ntstatus.Status { return s.Disconnect(nil, 0, i) })
	return err
}
