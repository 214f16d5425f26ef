package wsk

import (
	"errors"
	"io"

	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// sentMeansAcknowledged decides what "sent" means. The interface does no send
// buffering: a request completes when its data has really been sent, which for
// TCP is taken to mean acknowledged by the peer. With false it would mean taken
// over by the transport.
const sentMeansAcknowledged = true

// drainSize is how much a draining receive throws away at once, in bytes; our own
// choice.
const drainSize = 64 << 10

// sent reports whether the stream up to mark has been sent, as of the last look.
func (f *flow) sent(mark uint64) bool {
	if !sentMeansAcknowledged {
		return f.written >= mark
	}
	return f.acked >= mark
}

// look learns what the peer has acknowledged and reports whether the connection
// works. What a transport says about acknowledgements counts only if it had not
// failed by then, so it is asked for its failure last. Precondition: f.mu is held.
func (f *flow) look() error {
	unacked := uint64(max(f.transport.Unacknowledged(), 0))
	finAcked := f.finSent && f.transport.WriteClosed()
	if err := f.transport.Err(); err != nil {
		return err
	}
	f.acked = f.written - min(unacked, f.written)
	f.finAcked = finAcked
	return nil
}

// send is WskSend.
func (f *flow) send(buf *Buf, flags uint32, i *irp.IRP) ntstatus.Status {
	return f.sendEx(buf, flags, nil, i)
}

// sendEx is WskSendEx.
func (f *flow) sendEx(buf *Buf, flags uint32, control []byte, i *irp.IRP) ntstatus.Status {
	return f.call(fnSend, i, func(o *op) ntstatus.Status {
		if len(control) > 0 {
			return ntstatus.NotSupported
		}
		if flags&^FlagNoDelay != 0 {
			return f.fail(FaultFlags, ntstatus.NotSupported)
		}
		if status := o.take(buf, kindSend, flags); status != ntstatus.Success {
			return status
		}
		if status, work := f.allow(fnSend); !work {
			return status
		}
		if o.total == 0 && f.sends.empty() {
			return ntstatus.Success // behind others it waits for its turn
		}
		f.sends.add(o)
		return ntstatus.Pending
	})
}

// receive is WskReceive.
func (f *flow) receive(buf *Buf, flags uint32, i *irp.IRP) ntstatus.Status {
	return f.receiveEx(buf, flags, nil, nil, i)
}

// receiveEx is WskReceiveEx.
func (f *flow) receiveEx(buf *Buf, flags uint32, length, controlFlags *uint32, i *irp.IRP) ntstatus.Status {
	return f.call(fnReceive, i, func(o *op) ntstatus.Status {
		if controlFlags != nil {
			return f.fail(FaultFlags, ntstatus.InvalidParameter)
		}
		if length != nil {
			*length = 0
		}
		if flags&^(FlagWaitAll|FlagDrain) != 0 {
			return f.fail(FaultFlags, ntstatus.NotSupported)
		}
		if status := o.take(buf, kindReceive, flags); status != ntstatus.Success {
			return status
		}
		drain := flags&FlagDrain != 0
		if drain && (flags&FlagWaitAll != 0 || o.total != 0) {
			return f.fail(FaultFlags, ntstatus.InvalidParameter)
		}
		status, work := f.allow(fnReceive)
		if !work || o.total == 0 && !drain {
			return status
		}
		f.recvs.add(o)
		return ntstatus.Pending
	})
}

// disconnect is WskDisconnect.
func (f *flow) disconnect(buf *Buf, flags uint32, i *irp.IRP) ntstatus.Status {
	if flags&FlagAbortive != 0 {
		return f.abort(buf, flags, i)
	}
	return f.call(fnDisconnect, i, func(o *op) ntstatus.Status {
		if flags != 0 {
			return f.fail(FaultFlags, ntstatus.InvalidParameter)
		}
		if buf == nil {
			buf = &Buf{}
		}
		if status := o.take(buf, kindDisconnect, flags); status != ntstatus.Success {
			return status
		}
		if status, work := f.allow(fnDisconnect); !work {
			return status
		}
		f.sends.add(o)
		return ntstatus.Pending
	})
}

// abort is WskDisconnect with WSK_FLAG_ABORTIVE.
func (f *flow) abort(buf *Buf, flags uint32, i *irp.IRP) ntstatus.Status {
	return f.call(fnAbort, i, func(*op) ntstatus.Status {
		if flags != FlagAbortive || buf != nil {
			return f.fail(FaultFlags, ntstatus.InvalidParameter)
		}
		status, work := f.allow(fnAbort)
		if !work {
			return status
		}
		f.latched = ntstatus.ConnectionAborted
		f.transport.Abort()
		f.endAll(endAborted)
		return ntstatus.Success
	})
}

// take copies what the caller's Buf says into o.
func (o *op) take(buf *Buf, k kind, flags uint32) ntstatus.Status {
	segs, status := buf.appendSegments(o.few[:0])
	if status != ntstatus.Success {
		return o.flow.fail(FaultBuffer, status)
	}
	segs = o.call.memory(segs, k == kindReceive || k == kindReceiveFrom)
	o.kind, o.flags, o.segs, o.total = k, flags, segs, int(buf.Length)
	return ntstatus.Success
}

// moved counts n bytes of o.
func (o *op) moved(n int) {
	o.done += n
	o.segs = advance(o.segs, n)
}

// stepReceive gives what has arrived to the receives, first come, first served;
// at the peer's FIN all of them complete. Precondition: f.mu is held.
func (f *flow) stepReceive() {
	for !f.recvs.empty() {
		o := f.recvs.first
		if !f.state.finSeen() && !f.fill(o) {
			return
		}
		if f.recvs.empty() {
			return // the connection broke and took them all
		}
		f.recvs.take()
		o.result.Information = uintptr(o.done)
		f.finish(o, ntstatus.Success)
	}
}

// fill reads for o and reports whether o is done.
func (f *flow) fill(o *op) bool {
	for {
		n, err := f.read(f.target(o))
		if n > 0 && o.flags&FlagDrain == 0 {
			o.moved(n)
			if o.done == o.total || o.flags&FlagWaitAll == 0 {
				return true
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			f.peerEnds()
			return true
		case notNow(err), err == nil && n == 0:
			return false
		case err != nil:
			f.breaks(err)
			return true
		}
	}
}

// target is where o's next bytes go.
func (f *flow) target(o *op) [][]byte {
	if o.flags&FlagDrain == 0 {
		return o.segs
	}
	if f.discarded == nil {
		f.discarded = new([drainSize]byte)
	}
	return [][]byte{f.discarded[:]}
}

// stepSend hands the sends down in order, looks how the connection is, and
// completes what is sent. Precondition: f.mu is held.
func (f *flow) stepSend() {
	f.push()
	for o := f.sends.first; o != nil; o = o.next {
		if !f.write(o) {
			break
		}
	}
	if !f.state.carries() {
		return // writing found the connection broken
	}
	if err := f.look(); err != nil {
		f.breaks(err)
		return
	}
	for !f.sends.empty() && f.over(f.sends.first) {
		o := f.sends.take()
		o.result.Information = uintptr(o.done)
		f.finish(o, ntstatus.Success)
	}
	if f.finAcked {
		f.happen(hapFINAcked)
	}
	f.push()
	if o := f.sends.first; o != nil && o.done == o.total {
		f.awaitSent(o.mark)
	}
}

// awaitSent has the worker woken when the stream up to mark has been sent, and not for
// what is acknowledged before: a send in flight costs one wake-up, not one a segment.
func (f *flow) awaitSent(mark uint64) {
	if !f.sent(mark) {
		f.transport.WakeWhenUnacknowledged(int(f.written - mark))
	}
}

// write hands down what it can of o and reports whether that was all of it.
func (f *flow) write(o *op) bool {
	for o.done < o.total {
		n, err := f.transport.Write(o.segs)
		o.moved(n)
		f.written += uint64(n)
		if o.done == o.total {
			break
		}
		if err != nil && !notNow(err) {
			f.breaks(err)
			return false
		}
		if n == 0 || err != nil {
			return false
		}
	}
	if o.mark == 0 {
		o.mark = f.written
	}
	if o.kind == kindDisconnect && !f.finSent {
		if err := f.transport.CloseWrite(); err != nil {
			f.breaks(err)
			return false
		}
		f.finSent = true
	}
	return true
}

// over reports whether o, the first of the sends, is complete.
func (f *flow) over(o *op) bool {
	if o.done < o.total || !f.sent(o.mark) {
		return false
	}
	return o.kind != kindDisconnect || f.finAcked
}

// push turns Nagle's wait off while a send with FlagNoDelay is in the queue, and
// back to the option's value afterwards. What TCP_NODELAY refuses is not worth
// failing a send for: the data goes out all the same.
func (f *flow) push() {
	want := false
	for o := f.sends.first; o != nil; o = o.next {
		if o.kind == kindSend && o.flags&FlagNoDelay != 0 {
			want = true
			break
		}
	}
	if want != f.pushing && f.state.carries() {
		f.pushing = want
		_ = f.transport.SetNoDelay(want || f.options.noDelay)
	}
}
