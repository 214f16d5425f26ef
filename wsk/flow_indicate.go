package wsk

import (
	"errors"
	"io"
	"slices"

	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// Our own choices.
const (
	indicationSize = 64 << 10 // bytes that one ReceiveEvent tells of at most
	maxRetained    = 1 << 20  // bytes that a client may retain before indications pause, unless SO_RCVBUF says otherwise
)

// indications is what a connection's event callbacks have to tell; flow.mu guards
// it.
type indications struct {
	held     []byte // read from the transport, and nobody has taken it
	retained map[*DataIndication]int
	bytes    int  // the sum of retained
	stopped  bool // ReceiveEvent did not take all; a Receive starts it again

	ended   bool  // the peer has ended the connection ...
	aborted bool  // ... by breaking it
	told    bool  // DisconnectEvent was called
	backlog int32 // the ideal send backlog that the client knows, in bytes
}

// read fills dst from what is held and then from the transport. Precondition: f.mu
// is held.
func (f *flow) read(dst [][]byte) (int, error) {
	if len(f.in.held) == 0 {
		return f.transport.Read(dst)
	}
	n := 0
	for _, d := range dst {
		k := copy(d, f.in.held[n:])
		n += k
	}
	f.in.held = f.in.held[n:]
	rest := advance(slices.Clone(dst), n)
	if len(rest) == 0 {
		return n, nil
	}
	// An error comes again with the next read.
	more, _ := f.transport.Read(rest)
	return n + more, nil
}

// peerEnds notes the peer's FIN. Precondition: f.mu is held.
func (f *flow) peerEnds() {
	f.happen(hapPeerFIN)
	f.in.ended = true
}

// indicates reports whether received data goes to ReceiveEvent.
func (f *flow) indicates() bool {
	return f.events.enabled&EventReceive != 0 && !f.in.stopped && f.in.bytes < f.retainLimit()
}

// retainLimit is how many bytes may be retained before indications pause.
func (f *flow) retainLimit() int {
	if f.options.receiveBuffer != 0 {
		return f.options.receiveBuffer
	}
	return maxRetained
}

// prefetch reads what the callbacks have to tell of: data for ReceiveEvent, the FIN
// for DisconnectEvent, behind which no more than one byte is read for nobody.
// Precondition: f.mu is held.
func (f *flow) prefetch() {
	if !f.state.carries() || f.state.finSeen() || !f.recvs.empty() || len(f.in.held) > 0 {
		return
	}
	size := 1
	if f.indicates() {
		size = min(max(f.transport.Readable(), 1), indicationSize)
	} else if f.events.enabled&EventDisconnect == 0 {
		return
	}
	buf := make([]byte, size)
	n, err := f.transport.Read([][]byte{buf})
	f.in.held = buf[:n]
	switch {
	case errors.Is(err, io.EOF):
		f.peerEnds()
	case err != nil && !notNow(err):
		f.breaks(err)
	}
}

// dueReceive returns the call of ReceiveEvent if there is something for it.
// Precondition: f.mu is held.
func (f *flow) dueReceive() func() {
	f.prefetch()
	if !f.state.carries() || !f.recvs.empty() || len(f.in.held) == 0 || !f.indicates() {
		return nil
	}
	data := f.gather()
	ind := &DataIndication{Buffer: *NewBuf(f.indicate(data))}
	var flags uint32
	if f.in.bytes > f.retainLimit()/2 {
		flags = FlagReleaseASAP
	}
	f.retain(ind, len(data)) // a callback may release before it says that it retains
	table, context := f.events.tables.connection, f.context
	return func() {
		accepted := uint64(len(data))
		e := f.calling(EventReceive, table, ind, false)
		status := table.ReceiveEvent(context, flags, ind, accepted, &accepted)
		e.answered(status, uint64(len(data)), accepted)
		f.indicated(ind, data, status, accepted)
	}
}

// gather returns what is held and what there is behind it. Precondition: f.mu is
// held.
func (f *flow) gather() []byte {
	data := f.in.held
	f.in.held = nil
	more := min(f.transport.Readable(), indicationSize-len(data))
	if more <= 0 {
		return data
	}
	all := append(make([]byte, 0, len(data)+more), data...)
	// An error comes again with the next read.
	n, _ := f.transport.Read([][]byte{all[len(data):cap(all)]})
	return all[:len(data)+n]
}

// indicated takes the answer of ReceiveEvent. An answer that there is not, and a
// count beyond what was indicated, mean that nothing was accepted, or all.
func (f *flow) indicated(ind *DataIndication, data []byte, status ntstatus.Status, accepted uint64) {
	if status == ntstatus.Pending {
		return // the client's, until Release
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unretain(ind)
	if status != ntstatus.Success {
		accepted = 0
	}
	if accepted >= uint64(len(data)) || f.state >= Closing {
		return
	}
	f.in.held, f.in.stopped = data[accepted:], true
}

// dueDisconnect returns the call of DisconnectEvent, once, when the peer has ended
// the connection. Precondition: f.mu is held.
func (f *flow) dueDisconnect() func() {
	if !f.in.ended || f.in.told || f.events.enabled&EventDisconnect == 0 || f.state >= Dead {
		return nil
	}
	f.in.told = true
	var flags uint32
	if f.in.aborted {
		flags = FlagAbortive
	}
	table, context := f.events.tables.connection, f.context
	return func() {
		e := f.calling(EventDisconnect, table, nil, false)
		e.answered(table.DisconnectEvent(context, flags), 0, 0)
	}
}

// idealBacklog is a transport's, in bytes, of which no more are known than a buffer can have.
func idealBacklog(t Transport) int32 { return int32(min(max(t.IdealBacklog(), 0), maxBuffer)) }

// dueBacklog returns the call of SendBacklogEvent if the ideal backlog is another
// than the client knows. Precondition: f.mu is held.
func (f *flow) dueBacklog() func() {
	if f.events.enabled&EventSendBacklog == 0 || f.state != Connected && f.state != RecvClosed {
		return nil
	}
	ideal := idealBacklog(f.transport)
	if ideal == f.in.backlog {
		return nil
	}
	f.in.backlog = ideal
	table, context := f.events.tables.connection, f.context
	return func() {
		e := f.calling(EventSendBacklog, table, nil, false)
		e.answered(table.SendBacklogEvent(context, uint64(ideal)), 0, 0)
	}
}

// resume starts stopped indications again if a Receive is about to complete. It is
// the worker's: a Receive that the client posts from inside the callback, which only
// then says that it does not accept, counts as well. Precondition: f.mu is held.
func (f *flow) resume(finished []*op) {
	for _, o := range finished {
		if o.kind == kindReceive && o.result.Status == ntstatus.Success {
			f.in.stopped = false
		}
	}
}

// resumeAfter is resume for a Receive that is done before its call returns.
func (f *flow) resumeAfter(o *op) {
	if f.events.running == 0 {
		f.resume([]*op{o})
	}
}

// retain counts an indication as the client's. Precondition: f.mu is held.
func (f *flow) retain(ind *DataIndication, size int) {
	if f.in.retained == nil {
		f.in.retained = map[*DataIndication]int{}
	}
	f.in.retained[ind] = size
	f.in.bytes += size
}

// unretain takes one back and reports whether it was there. Precondition: f.mu is
// held.
func (f *flow) unretain(ind *DataIndication) bool {
	size, ok := f.in.retained[ind]
	delete(f.in.retained, ind)
	f.in.bytes -= size
	return ok
}

// release is WskRelease for data: all of the list or nothing.
func (f *flow) release(list *DataIndication) ntstatus.Status {
	c := f.watch("Release", nil, list)
	return c.leave(f.takeBack(c, list))
}

func (f *flow) takeBack(c *Call, list *DataIndication) ntstatus.Status {
	if f == nil || list == nil {
		c.fail(FaultList)
		return ntstatus.InvalidParameter
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := map[*DataIndication]bool{}
	for d := list; d != nil; d = d.Next {
		if _, ok := f.in.retained[d]; !ok || seen[d] {
			c.fail(FaultList)
			return ntstatus.InvalidParameter
		}
		seen[d] = true
	}
	for d := range seen {
		f.unretain(d)
	}
	f.kick() // indications may have paused
	return ntstatus.Success
}

// queryBacklog answers the two ioctls about the amount of data under way, in bytes.
func (f *flow) queryBacklog(r *ioctlRequest) ntstatus.Status {
	if status, work := f.allow(fnQueryBacklog); !work {
		return status
	}
	n := 0
	if r.code == SIO_WSK_QUERY_IDEAL_SEND_BACKLOG {
		n = f.transport.IdealBacklog()
	} else {
		n = len(f.in.held) + f.transport.Readable()
	}
	return r.answerSize(f, n)
}
