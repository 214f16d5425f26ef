package pump

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// long is longer than any test takes.
const long = time.Minute

// pair is two ends of a TCP connection of the kernel.
func pair(t *testing.T) (client, server *net.TCPConn) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = net.DialTCP("tcp", nil, l.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	if server, err = l.AcceptTCP(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// joined is two outer ends with a pump between them.
type joined struct {
	left, right *net.TCPConn
	ended       chan error
	to, back    atomic.Uint64
}

func join(ctx context.Context, t *testing.T, halfClose time.Duration) *joined {
	t.Helper()
	j := &joined{ended: make(chan error, 1)}
	var a, b *net.TCPConn
	j.left, a = pair(t)
	b, j.right = pair(t)
	go func() { j.ended <- Run(ctx, a, b, Config{HalfClose: halfClose, AToB: &j.to, BToA: &j.back}) }()
	return j
}

// A client that closes its side gets all of its answer, however often it is in
// several parts.
func TestHalfCloseIsCarriedThrough(t *testing.T) {
	j := join(t.Context(), t, long)
	question, answer := bytes.Repeat([]byte("question "), 40_000), bytes.Repeat([]byte("answer "), 90_000)
	go func() {
		_, _ = j.left.Write(question)
		_ = j.left.CloseWrite()
	}()
	got, err := io.ReadAll(j.right)
	if err != nil || !bytes.Equal(got, question) {
		t.Fatalf("%d bytes of %d, %v", len(got), len(question), err)
	}
	go func() {
		_, _ = j.right.Write(answer)
		_ = j.right.CloseWrite()
	}()
	got, err = io.ReadAll(j.left)
	if err != nil || !bytes.Equal(got, answer) {
		t.Fatalf("%d bytes of %d, %v", len(got), len(answer), err)
	}
	if err := <-j.ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	if j.to.Load() != uint64(len(question)) || j.back.Load() != uint64(len(answer)) {
		t.Errorf("counted %d and %d", j.to.Load(), j.back.Load())
	}
}

// reset says whether the next read finds a reset.
func reset(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the end was %v, not a reset", err)
	}
}

// Who keeps the other direction open and says nothing is cut off.
func TestHalfCloseHasALimit(t *testing.T) {
	j := join(t.Context(), t, time.Millisecond)
	if err := j.left.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := <-j.ended; !errors.Is(err, ErrHalfClosed) {
		t.Errorf("ended with %v", err)
	}
	reset(t, j.left) // the right side has read its end already
}

// limits is a connection that tells when its deadline is set.
type limits struct {
	*net.TCPConn
	set chan time.Time
}

func (l limits) SetDeadline(at time.Time) error {
	l.set <- at
	return l.TCPConn.SetDeadline(at)
}

// While something moves, the limit after a half-close begins anew.
func TestTheLimitBeginsAnew(t *testing.T) {
	left, a := pair(t)
	b, right := pair(t)
	const parts = 20
	watched := limits{a, make(chan time.Time, 10*parts)}
	ended := make(chan error, 1)
	go func() { ended <- Run(t.Context(), watched, b, Config{HalfClose: long}) }()
	if err := left.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, right); err != nil {
		t.Fatal(err)
	}
	last := <-watched.set // by the half-close
	for range parts {
		if _, err := right.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(left, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		at := <-watched.set
		if !at.After(last) {
			t.Errorf("the limit went from %v to %v", last, at)
		}
		last = at
	}
	if err := right.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

// Without a half-close nothing is cut off, whatever the limit.
func TestNoLimitWhileBothAreOpen(t *testing.T) {
	j := join(t.Context(), t, time.Nanosecond)
	for range 100 {
		if _, err := j.left.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(j.right, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-j.ended:
		t.Errorf("ended with %v", err)
	default:
	}
	Reset(j.left)
	if err := <-j.ended; err == nil {
		t.Error("a reset was no error")
	}
}

// A reset of one side is a reset of the other.
func TestResetIsCarriedThrough(t *testing.T) {
	j := join(t.Context(), t, long)
	Reset(j.right)
	reset(t, j.left)
	if err := <-j.ended; !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("ended with %v", err)
	}
}

// The context's end cuts both, with its cause, at any moment.
func TestCut(t *testing.T) {
	cut := errors.New("cut")
	for name, halfClosed := range map[string]bool{"open": false, "half-closed": true} {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancelCause(t.Context())
			j := join(ctx, t, long)
			if halfClosed {
				if err := j.left.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, j.right); err != nil { // the FIN is through
					t.Fatal(err)
				}
			}
			stop(cut)
			if err := <-j.ended; !errors.Is(err, cut) {
				t.Errorf("ended with %v", err)
			}
			reset(t, j.left)
			if !halfClosed { // else it has read its end already
				reset(t, j.right)
			}
		})
	}
}

// A writer that is blocked by a peer that does not read is woken too.
func TestCutWhileWriting(t *testing.T) {
	cut := errors.New("cut")
	ctx, stop := context.WithCancelCause(t.Context())
	j := join(ctx, t, long)
	full := make(chan error, 1)
	go func() {
		for {
			if _, err := j.left.Write(make([]byte, 1<<20)); err != nil {
				full <- err
				return
			}
		}
	}()
	for j.to.Load() == 0 {
		if _, err := io.ReadFull(j.right, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	stop(cut)
	if err := <-j.ended; !errors.Is(err, cut) {
		t.Errorf("ended with %v", err)
	}
	if err := <-full; err == nil {
		t.Error("the writer was not told")
	}
}
