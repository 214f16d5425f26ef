package stack

import (
	"context"
	"io"

	"github.com/wskstack/wskstack/stack/fastopen"
)

// CapturePcap records every packet on the link as pcapng into w, from now on until ctx
// ends, w fails, or the stack is closed: what really is on the wire, below the Fast Open
// layer, with a comment on each packet that this layer changed, made or swallowed.
//
// It does not block. wait does, until nothing uses w any more, and returns the first
// error that w gave; that ctx ended is none. It may be called more than once. w stays
// the caller's: close it after wait. Writes to w come from the goroutines that move
// packets, so it should be a file or memory, and it must not send over this stack.
//
// There is one capture at a time; a second gets capture.ErrRunning. On a closed stack
// the error is net.ErrClosed. Without a capture a batch of packets costs one atomic load.
func (s *Stack) CapturePcap(ctx context.Context, w io.Writer) (wait func() error, err error) {
	if ctx == nil {
		return nil, errNoContext
	}
	return s.tap.Record(ctx, w)
}

// both calls two functions, the second if there is one.
func both(first, second func(fastopen.Step)) func(fastopen.Step) {
	if second == nil {
		return first
	}
	return func(s fastopen.Step) {
		first(s)
		second(s)
	}
}
