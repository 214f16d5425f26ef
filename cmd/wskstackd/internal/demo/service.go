package demo

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/await"
	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
)

// service is the service on a stack, behind a listener with Fast Open.
type service struct {
	at       netip.AddrPort
	listener *fastopen.Listener
	cancel   context.CancelFunc
	running  sync.WaitGroup // the accepting goroutine and one per connection

	mu   sync.Mutex
	last fastopen.Outcome // guarded by mu; of the newest connection that was answered
}

// startService starts the service on a stack.
func startService(s *stack.Stack, at netip.AddrPort) (_ *service, err error) {
	ep, err := s.NewEndpoint(network(at.Addr()))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			ep.Abort()
		}
	}()
	if err := errors.Join(ep.Bind(at), ep.Listen(0)); err != nil {
		return nil, err
	}
	p := &service{at: ep.LocalAddr()}
	if p.listener, err = ep.ServeFastOpen(fastopen.ListenConfig{}); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.running.Go(func() { p.accept(ctx, await.New(ep)) })
	return p, nil
}

// accept serves connections until the context ends.
func (p *service) accept(ctx context.Context, listening *await.Conn) {
	defer func() { _ = listening.Endpoint().Close() }()
	for {
		c, err := listening.Accept(ctx)
		if err != nil {
			return
		}
		p.running.Go(func() {
			// A connection that broke shows at the client, which checks the answer.
			_ = serve(c.Reader(ctx), c.Writer(ctx))
			p.note(c.Endpoint().FastOpenInfo())
			_ = c.Endpoint().Close()
		})
	}
}

func (p *service) note(o fastopen.Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = o
}

// outcome is what Fast Open did for the newest connection that was answered.
func (p *service) outcome() fastopen.Outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// close ends the service and waits for it.
func (p *service) close() {
	p.cancel()
	p.running.Wait()
}

// maxRequest bounds what the service reads, in bytes.
const maxRequest = 1 << 20

// serve is the peer's service: it reads a line, all of it, and answers with what
// it got.
func serve(r io.Reader, w io.Writer) error {
	line, err := bufio.NewReader(io.LimitReader(r, maxRequest)).ReadBytes('\n')
	if err != nil {
		return err
	}
	_, err = w.Write(answer(line))
	return err
}

// answer proves what the peer got: its length and its hash.
func answer(request []byte) []byte {
	sum := sha256.Sum256(request)
	return fmt.Appendf(nil, "%d bytes, sha256 %x\n", len(request), sum[:8])
}

// request makes a line of n bytes. No two parts of it look alike, so bytes that
// came twice or in another order would change the hash.
func request(n int) []byte {
	b := make([]byte, 0, n+16)
	b = append(b, "first bytes of the stream"...)
	for i := 0; len(b) < n-1; i++ {
		b = fmt.Appendf(b, " %d", i)
	}
	return append(bytes.Clone(b[:n-1]), '\n')
}

// network is the name of a TCP endpoint's family.
func network(a netip.Addr) string {
	if a.Is4() {
		return "tcp4"
	}
	return "tcp6"
}
