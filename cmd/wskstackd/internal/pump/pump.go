package pump

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Conn is a connection whose directions end one by one. *net.TCPConn is one.
type Conn interface {
	net.Conn
	// CloseWrite sends a FIN.
	CloseWrite() error
	// SetLinger with 0 makes Close send a reset.
	SetLinger(seconds int) error
}

// Config bounds a pump and counts what it moves.
type Config struct {
	// HalfClose is how long nothing may move once one direction has ended.
	HalfClose time.Duration
	// AToB and BToA are added the bytes of each direction as they are written. Nil:
	// they are not counted.
	AToB, BToA *atomic.Uint64
}

// ErrHalfClosed is in the chain of Run's error when the limit after a half-close
// has passed.
var ErrHalfClosed = errors.New("nothing moved for too long after one side had closed")

// bufferSize is how much is moved at once, in bytes.
const bufferSize = 64 << 10

//nolint:gochecknoglobals // free memory, and nothing that anybody could tell apart
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// Run moves bytes between a and b until both directions have ended, one of them
// fails, or the context does; then it closes both: with a reset, unless both
// directions have ended. The error says why it was not the ordinary end.
func Run(ctx context.Context, a, b Conn, cfg Config) error {
	p := &pump{cfg: cfg, a: a, b: b}
	stop := context.AfterFunc(ctx, func() { p.fail(context.Cause(ctx)) })
	defer stop()
	var back sync.WaitGroup
	back.Go(func() { p.move(b, a, cfg.BToA) })
	p.move(a, b, cfg.AToB)
	back.Wait()
	return p.end()
}

// pump is one run.
type pump struct {
	cfg  Config
	a, b Conn

	// half: one direction has ended, and deadlines are in force.
	half atomic.Bool

	mu  sync.Mutex
	err error // the first failure; guarded by mu
}

// move carries one direction to its end.
func (p *pump) move(from, to Conn, count *atomic.Uint64) {
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	for {
		n, err := from.Read(buf[:])
		p.moved()
		if n > 0 {
			k, werr := to.Write(buf[:n])
			if count != nil {
				count.Add(uint64(k))
			}
			if werr != nil {
				p.fail(werr)
				return
			}
			p.moved()
		}
		switch {
		case errors.Is(err, io.EOF):
			p.ended(to)
			return
		case err != nil:
			p.fail(err)
			return
		}
	}
}

// ended carries the end of one direction through.
func (p *pump) ended(to Conn) {
	if err := to.CloseWrite(); err != nil {
		p.fail(err)
		return
	}
	p.half.Store(true)
	p.moved()
}

// moved gives what is left, after a half-close, its time anew.
func (p *pump) moved() {
	if !p.half.Load() || p.failed() {
		return
	}
	by := time.Now().Add(p.cfg.HalfClose)
	// A connection that is closed says so to its reader.
	_ = p.a.SetDeadline(by)
	_ = p.b.SetDeadline(by)
	if p.failed() { // meanwhile, and its deadline was just overwritten
		p.wake()
	}
}

// fail ends both directions.
func (p *pump) fail(err error) {
	p.mu.Lock()
	if p.err == nil {
		if isTimeout(err) {
			err = fmt.Errorf("%w (%v)", ErrHalfClosed, p.cfg.HalfClose)
		}
		p.err = err
	}
	p.mu.Unlock()
	p.wake()
}

// wake ends what waits on either connection.
func (p *pump) wake() {
	past := time.Unix(1, 0)
	_ = p.a.SetDeadline(past)
	_ = p.b.SetDeadline(past)
}

func (p *pump) failed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err != nil
}

// end closes both connections. Called when nobody uses them any more.
func (p *pump) end() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		Reset(p.a)
		Reset(p.b)
		return p.err
	}
	return errors.Join(p.a.Close(), p.b.Close())
}

// Reset closes a connection so that its peer can tell that it was cut.
func Reset(c Conn) {
	_ = c.SetLinger(0) // of a connection that is gone
	_ = c.Close()
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}
