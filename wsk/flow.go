package wsk

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// flow is what there is behind a socket of any category: its state, its transport,
// its requests and its events.
//
// Every decision about an operation (done, cancelled, closed under it) is made
// under mu, by whoever takes the operation out of connect, recvs, sends or close;
// it goes to finished, and the worker calls its completion routine with no lock
// held. The worker is a goroutine that exists from the first kick until there is
// nothing more to do at the moment; a socket that only waits has none.
type flow struct {
	client   *Client
	category *category
	self     any       // *ConnectionSocket, *ListenSocket ...: what the client holds
	observed *Observed // nil without an Observer

	// kicks counts the wake-ups that the worker has not looked at; whoever raises
	// it from zero starts the worker. No lock may be needed to kick: the transport
	// wakes under locks of its own, which the worker takes under mu.
	kicks  atomic.Uint64
	hook   func() // kick, which is every IRP's cancel hook
	worker func() // work; both are here so that a call allocates neither
	// pended is the number of operations whose IRP is out; when there are none, and
	// watching is not set, a transport's wake-up is nobody's business.
	pended   atomic.Int32
	watching atomic.Bool // an event callback is enabled
	family   uint16

	mu sync.Mutex // before irp's lock and the transport's; guards all below

	state    State
	finSent  bool            // CloseWrite was called
	finAcked bool            // the peer had acknowledged the FIN at the last look
	pushing  bool            // Nagle is off for a send with FlagNoDelay
	fault    Fault           // of the call that is going on
	latched  ntstatus.Status // what ended the connection, in Aborted

	context   any            // the SocketContext
	transport Transport      // nil only in Bound, when a failed connect's port was lost
	datagram  Datagram       // of a datagram socket, which has no other
	local     netip.AddrPort // as bound, then as connected
	remote    netip.AddrPort
	options   *options // never written to: see share

	connect *op
	accepts queue // first in, first served
	recvs   queue // first in, first served
	sends   queue // sends, and last the graceful disconnect; first in, first out
	waits   queue // for a change of the network's addresses; in no order
	closing *op

	written   uint64           // bytes that the transport took
	acked     uint64           // of those, acknowledged by the peer at the last look
	finished  []*op            // decided; their routines are still to be called
	spare     []*op            // the memory of the finished before these
	inHand    int32            // of those, the ones whose routines the worker is calling
	calls     int32            // calls that have entered and not left
	discarded *[drainSize]byte // where drained bytes go

	in     indications
	dg     *datagrams // of a datagram socket
	events events
	offer  *offer // of a socket that an AcceptEvent callback is looking at

	inspected RequestID // the request that an accepted socket came from; 0: none
	speak     func()    // ends silence, in Silent
	claim     *claim    // what it has in the provider's table of binds
}

// op is one operation. Most are used again and again, so nothing
// keeps one when its routine has returned: the cancel hook, which may be called even
// later, knows the flow alone.
type op struct {
	flow *flow
	next *op   // in its queue
	call *Call // nil without an Observer
	req  irp.Request

	kind      kind
	stillborn bool // of SocketConnect: the socket goes if this fails
	final     bool // the socket is gone once this one's routine has returned
	flags     uint32

	segs  [][]byte    // what is still to be moved
	few   [few][]byte // the memory of segs, if that is enough
	total int         // bytes asked for
	done  int         // bytes moved
	mark  uint64      // stream offset behind a send's last byte, once it is all written

	accept  *acceptRequest
	send    *sendRequest
	receive *receiveRequest
	result  irp.StatusBlock
}

// few is as many pieces as most chains have: data, and a header before it.
const few = 2

// newOp returns an operation without a request.
func (f *flow) newOp(c *Call) *op {
	if f == nil {
		return &op{call: c}
	}
	o, _ := f.client.provider.ops.Get().(*op)
	if o == nil {
		o = new(op)
	}
	o.flow, o.call = f, c
	return o
}

// recycle gives an operation back whose routine has returned, if it is of a kind
// that nobody else can know.
func (f *flow) recycle(o *op) {
	switch o.kind {
	case kindAtOnce, kindConnect, kindSend, kindReceive:
	default:
		return
	}
	if o.accept != nil || o.send != nil || o.receive != nil || o.stillborn {
		return
	}
	*o = op{}
	f.client.provider.ops.Put(o)
}

// cancelHook is what an IRP calls when it is cancelled: the worker then finds it so.
func (f *flow) cancelHook() func() {
	if f == nil {
		return nil
	}
	return f.hook
}

// call is the frame of every call that takes an IRP. body runs under f.mu, if
// the socket is alive enough for fn, and answers STATUS_PENDING if it queued o,
// STATUS_SUCCESS if the work is done, or what it failed with. A success pends all
// the same, unless the completion mode says otherwise: its routine runs on the
// worker, never on the caller's stack. A failure completes the IRP before call
// returns, with no lock held.
func (f *flow) call(fn function, i *irp.IRP, body func(o *op) ntstatus.Status) ntstatus.Status {
	c := f.watchFunction(fn, i)
	return c.leave(f.perform(fn, c, i, body))
}

// perform is call without its observer's frame.
func (f *flow) perform(fn function, c *Call, i *irp.IRP, body func(o *op) ntstatus.Status) ntstatus.Status {
	o := f.newOp(c)
	req, status := irp.Submit(i, f.cancelHook())
	if status != ntstatus.Success {
		if i == nil {
			c.fail(FaultIRP)
		}
		return status
	}
	o.req = req
	if f == nil {
		req.Complete(irp.StatusBlock{Status: ntstatus.InvalidParameter})
		return ntstatus.InvalidParameter
	}
	status = f.enter(fn, o, body)
	if status == ntstatus.Pending {
		return status
	}
	if status != ntstatus.Success {
		o.result = irp.StatusBlock{Status: status, Information: o.result.Information}
	}
	c.completing(o.result)
	req.Complete(o.result)
	o.announce()
	f.recycle(o)
	f.leave()
	return status
}

// enter runs body and pends o unless it failed.
func (f *flow) enter(fn function, o *op, body func(o *op) ntstatus.Status) ntstatus.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if c := o.call; c != nil {
		c.State, f.fault = f.state, FaultNone
		defer f.blame(c)
	}
	if fn != fnClose && o.req.Cancelled() { // a close cannot be cancelled
		return ntstatus.Cancelled
	}
	if stateTable[fn][f.state].answer == forced {
		return f.gone()
	}
	if fn != fnClose { // a close cannot fail
		if status := o.call.admit(); status != ntstatus.Success {
			return status
		}
	}
	status := body(o)
	if status != ntstatus.Success && status != ntstatus.Pending {
		o.result.Information = 0 // of what never began
		return status
	}
	if fn != fnClose && f.client.provider.inline() {
		if status == ntstatus.Success && (o.kind == kindAtOnce || !f.behind()) {
			f.resumeAfter(o)
			f.kick()
			return status
		}
		if status == ntstatus.Pending && f.tryInline(o) {
			f.kick()
			return o.result.Status
		}
	}
	o.req.MarkPending()
	f.pended.Add(1)
	f.calls--
	if status == ntstatus.Success {
		f.finish(o, ntstatus.Success)
	}
	if status == ntstatus.Success || !f.begin(o) {
		f.kick()
	}
	return ntstatus.Pending
}

// begin moves what can be moved of o at once, on the caller's goroutine, and reports
// whether the transport's wake-up is all that o waits for. What is decided by it is the
// worker's to complete, as ever. Precondition: f.mu is held, and o is queued and counts
// as pended, so that no wake-up is lost.
func (f *flow) begin(o *op) bool {
	before := f.state
	// While a callback runs, what it leaves comes first.
	receives := o.kind == kindReceive && o.flags&FlagDrain == 0 && f.events.running == 0
	if !before.carries() || o.kind != kindSend && !receives {
		return false
	}
	f.takeCancels() // what was cancelled before this call does not move any more
	if receives {
		f.stepReceive()
	} else {
		f.stepSend()
	}
	return len(f.finished) == 0 && f.state == before
}

// sync is the frame of a call that has no IRP: body runs under f.mu if the socket is
// alive enough for fn, and what it answers is the call's answer.
func (f *flow) sync(fn function, body func() ntstatus.Status) ntstatus.Status {
	c := f.watchFunction(fn, nil)
	return c.leave(f.atOnce(fn, c, body))
}

// atOnce is sync without its observer's frame.
func (f *flow) atOnce(fn function, c *Call, body func() ntstatus.Status) ntstatus.Status {
	if f == nil {
		return ntstatus.InvalidParameter
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if c != nil {
		c.State, f.fault = f.state, FaultNone
		defer f.blame(c)
	}
	if stateTable[fn][f.state].answer == forced {
		return f.gone()
	}
	status := body()
	f.kick()
	return status
}

// blame gives a call its fault, if it has one. Precondition: f.mu is held.
func (f *flow) blame(c *Call) {
	if f.fault != FaultNone {
		c.Fault = f.fault
	}
}

// gone is the answer of a socket that is dead or closed. Precondition: f.mu is held.
func (f *flow) gone() ntstatus.Status {
	if f.state != Dead {
		f.fault = FaultClosed
	}
	return ntstatus.FileForcedClosed
}

// leave ends a call whose IRP was completed before it returned.
func (f *flow) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls--
	if f.state == Closing {
		f.kick()
	}
}

// allow looks fn up in the table and moves the socket on. It answers
// STATUS_SUCCESS if fn is to do its work, else noWork and what fn answers.
// Precondition: f.mu is held.
func (f *flow) allow(fn function) (status ntstatus.Status, work bool) {
	c := stateTable[fn][f.state]
	switch c.answer {
	case proceed:
		f.state = c.next
		return ntstatus.Success, true
	case nothing:
		return ntstatus.Success, false
	case latched:
		return f.latched, false
	case forced:
		return f.gone(), false
	default:
		return f.fail(FaultState, ntstatus.InvalidDeviceState), false
	}
}

// happen moves the socket on. Precondition: f.mu is held.
func (f *flow) happen(h happening) { f.state = after(f.state, h) }

// finish decides o: its routine is the worker's to call. Precondition: f.mu is
// held and o is in no queue any more.
func (f *flow) finish(o *op, status ntstatus.Status) {
	o.result.Status = status
	f.finished = append(f.finished, o)
}

// end finishes o before its time. Precondition: as for finish.
func (f *flow) end(o *op, why end) {
	status := fateTable[why][o.kind]
	if status == theLatched {
		status = f.latched
	}
	if o.kind != kindConnect {
		o.result.Information = uintptr(o.done)
	}
	if o.stillborn {
		o.final = true
		o.result.Object = nil
	}
	f.finish(o, status)
}

// endAll finishes every pended operation but close. Precondition: f.mu is held.
func (f *flow) endAll(why end) {
	if f.connect != nil {
		f.end(f.connect, why)
		f.connect = nil
	}
	for _, q := range []*queue{&f.accepts, &f.recvs, &f.sends} {
		f.endQueue(q, why)
	}
	if why == endBroken || why == endAborted { // of the connection: nothing to do with it
		return
	}
	f.endQueue(&f.waits, why)
}

func (f *flow) endQueue(q *queue, why end) {
	for !q.empty() {
		f.end(q.take(), why)
	}
}

// wake is what the transport calls: see Transport.SetWake.
func (f *flow) wake() {
	if f.pended.Load() > 0 || f.watching.Load() {
		f.kick()
	}
}

// kick makes the worker look. It takes no lock.
func (f *flow) kick() {
	if f.kicks.Add(1) == 1 {
		go f.worker()
	}
}

// work is the worker: it ends as soon as no kick has come since it last looked.
func (f *flow) work() {
	for {
		seen := f.kicks.Load()
		f.mu.Lock()
		f.watching.Store(f.armed()) // before it looks: what wakes it after that must count
		f.step()
		var event func()
		if len(f.finished) == 0 {
			event = f.nextEvent()
		}
		finished := f.finished
		f.finished, f.spare, f.inHand = f.spare, nil, int32(len(finished))
		f.resume(finished)
		f.watching.Store(f.armed())
		f.mu.Unlock()
		for _, o := range finished {
			f.complete(o)
		}
		f.keep(finished)
		if event != nil {
			event()
			f.eventOver()
		}
		if len(finished) == 0 && event == nil && f.kicks.CompareAndSwap(seen, 0) {
			return
		}
	}
}

// keep keeps the memory of a list of operations for the next one.
func (f *flow) keep(finished []*op) {
	if len(finished) == 0 {
		return
	}
	clear(finished)
	f.mu.Lock()
	f.spare = finished[:0]
	f.mu.Unlock()
}

// complete calls o's routine.
func (f *flow) complete(o *op) {
	o.call.completing(o.result)
	o.req.Complete(o.result)
	f.pended.Add(-1)
	o.announce()
	if o.final {
		f.mu.Lock()
		f.unclaim()
		f.mu.Unlock()
		f.client.socketGone(f)
	}
	f.recycle(o)
}

// announce lets an accepted socket call its static callbacks, now that the client
// knows it.
func (o *op) announce() {
	if o.accept != nil && o.accept.socket != nil {
		o.accept.socket.kick()
	}
}

// step is the worker's: it moves what can be moved, and closes. Precondition: f.mu
// is held.
func (f *flow) step() {
	f.move()
	f.stepClose()
}

// move moves what can be moved. Precondition: f.mu is held, and no callback runs.
func (f *flow) move() {
	f.takeCancels()
	if f.connect != nil {
		f.stepConnect()
	}
	if f.state.listens() {
		f.stepAccept()
	}
	if f.datagram != nil && f.state == Bound {
		f.stepDatagram()
	}
	if f.state.carries() {
		f.stepReceive()
	}
	if f.state.carries() {
		f.stepSend()
	}
}

// takeCancels ends the operations whose IRP was cancelled. Precondition: f.mu is
// held.
func (f *flow) takeCancels() {
	if f.connect != nil && f.connect.req.Hooked() {
		f.cancelConnect()
	}
	f.sweep(&f.accepts)
	f.sweep(&f.recvs)
	f.sweep(&f.waits)
	if f.sweep(&f.sends) {
		f.push()
	}
}

// sweep ends the cancelled ones of a queue and reports whether there were any.
func (f *flow) sweep(q *queue) (some bool) {
	all := *q
	*q = queue{}
	for !all.empty() {
		o := all.take()
		if !o.req.Hooked() {
			q.add(o)
			continue
		}
		some = true
		if o.kind == kindDisconnect && !f.finSent {
			f.happen(hapDisconnectOff)
		}
		f.end(o, endCancelled)
	}
	return some
}

// breaks ends a connection that has failed with err. Precondition: f.mu is held.
func (f *flow) breaks(err error) {
	status := statusOf(err, always)
	if status == ntstatus.ConnectionDisconnected {
		// Not allowed to write any more: say why, if the transport knows.
		if cause := f.transport.Err(); cause != nil {
			status = statusOf(cause, always)
		}
	}
	if status == ntstatus.FileForcedClosed {
		f.withdraw()
		return
	}
	f.latched = status
	f.happen(hapBroken)
	f.in.ended, f.in.aborted = true, true
	f.transport.Abort()
	f.endAll(endBroken)
}

// withdraw makes the socket dead. Precondition: f.mu is held.
func (f *flow) withdraw() {
	if f.state >= Dead { // nothing is left to withdraw
		return
	}
	f.events.dead = f.events.enabled & f.ownEvents() & (EventAccept | EventReceive | EventReceiveFrom)
	if f.state == Conditional && f.events.dead == 0 {
		f.events.dead = eventInspect
	}
	f.endSilence()
	f.unclaim()
	f.happen(hapWithdrawn)
	if f.connect != nil && f.connect.stillborn {
		f.happen(hapStillborn)
	}
	if f.transport != nil {
		f.transport.Abort()
	}
	if f.datagram != nil {
		_ = f.datagram.Close()
	}
	f.endAll(endWithdrawn)
}
