package netcat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// chunk is a piece of the input; err is io.EOF at its end.
type chunk struct {
	data []byte
	err  error
}

// chunkSize is the most that is read at once, in bytes: what a connect may take.
const chunkSize = 64<<10 - 1

// pump reads the input piece by piece until it ends or the context does. Its
// goroutine may stay in a read that cannot be interrupted; then it ends with the
// program.
func pump(ctx context.Context, in io.Reader) <-chan chunk {
	out := make(chan chunk)
	go func() {
		defer close(out)
		for {
			buf := make([]byte, chunkSize)
			n, err := in.Read(buf)
			if n == 0 && err == nil {
				continue
			}
			select {
			case out <- chunk{buf[:n], err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return out
}

// source is what a connection sends: first, then rest until ended.
type source struct {
	first []byte
	// ended: first is all there is.
	ended bool
	rest  <-chan chunk
	// stop, once closed, ends the sending before the source does; nil never does.
	stop <-chan struct{}
}

// take reads the first payload: what comes within the wait. It returns at once at
// the end of the input. An error is of the input, or the context's cause.
func take(ctx context.Context, in <-chan chunk, wait time.Duration) (source, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case c := <-in:
		return source{first: c.data, ended: c.err != nil, rest: in}, inputError(c.err)
	case <-timer.C:
		return source{rest: in}, nil
	case <-ctx.Done():
		return source{}, context.Cause(ctx)
	}
}

// takeAll reads the input to its end.
func takeAll(ctx context.Context, in <-chan chunk) (source, error) {
	s := source{ended: true}
	for {
		select {
		case c := <-in:
			s.first = append(s.first, c.data...)
			if len(s.first) > MaxRepeated {
				return source{}, usage("with --repeat and --keep no more than %d bytes of input can be sent: shorten it", MaxRepeated)
			}
			if c.err != nil {
				return s, inputError(c.err)
			}
		case <-ctx.Done():
			return source{}, context.Cause(ctx)
		}
	}
}

// inputError is nil for the input's end.
func inputError(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("standard input cannot be read: %w", err)
}
