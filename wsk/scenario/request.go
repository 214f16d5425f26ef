package scenario

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// request is an IRP and what it was last used for.
type request struct {
	number int
	name   string
	call   string
	socket string
	run    *run
	line   *timeline
	irp    *irp.IRP
	memory []byte // of its buffer

	submissions int
	returned    ntstatus.Status
	// outcome reads what the call gave besides its status.
	outcome func(irp.StatusBlock) outcome
	// made is called once the call has succeeded; nil if it has been.
	made func(irp.StatusBlock)

	mu          sync.Mutex // a leaf; guards all below
	done        chan struct{}
	completions int
	block       irp.StatusBlock
	pended      bool // PendingReturned, as the routine saw it
}

// outcome is what a call gave.
type outcome struct {
	data      []byte
	address   string
	addresses []string
	node      string
	value     uint64
	truncated bool
}

// newRequest makes an IRP for a call.
func (r *run) newRequest(name, call, socket string) *request {
	q := &request{run: r, number: len(r.requests) + 1, name: name, call: call, socket: socket, line: r.line, done: make(chan struct{})}
	q.irp = r.newIRP(q.completed)
	r.requests = append(r.requests, q)
	if name != "" {
		r.irps[name] = q
	}
	return q
}

// title is the request in the time line.
func (q *request) title() string {
	if q.name != "" {
		return q.call + " (" + q.name + ")"
	}
	return q.call
}

// completed is the completion routine.
func (q *request) completed(i *irp.IRP, _ any) {
	block := i.IoStatus()
	q.mu.Lock()
	q.completions++
	q.block, q.pended = block, i.PendingReturned()
	closed := q.done
	q.done = nil
	q.mu.Unlock()
	if block.Status == ntstatus.InsufficientResources {
		q.run.starved.Store(true)
	}
	q.line.saw(q.socket, q.number, "completed", "%v, %d", block.Status, block.Information)
	if closed != nil {
		close(closed)
	}
}

// submit hands the IRP to a call.
func (q *request) submit(call func(*irp.IRP) ntstatus.Status) {
	q.line.did(q.number, "submitted", "%s", q.title())
	before := q.irp.State()
	q.returned = call(q.irp)
	// An IRP that could not be taken stays what it was.
	if before == irp.Idle || before == irp.Marked {
		q.submissions++
	}
	what := "inline"
	if q.returned == ntstatus.Pending {
		what = "pending"
	}
	q.line.did(q.number, what, "%v", q.returned)
}

// over is closed when the last use has completed; nil if it has.
func (q *request) over() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.done
}

func (q *request) last() irp.StatusBlock {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.block
}

// fault says what the provider did wrong with the IRP, empty if nothing.
func (q *request) fault() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.completions != q.submissions:
		return fmt.Sprintf("handed in %d times, completed %d times", q.submissions, q.completions)
	case q.completions == 1 && q.pended != (q.returned == ntstatus.Pending):
		return fmt.Sprintf("the call returned %v, and PendingReturned was %v", q.returned, q.pended)
	case q.completions == 1 && !q.pended && q.block.Status != q.returned:
		return fmt.Sprintf("the call returned %v, and the IRP has %v", q.returned, q.block.Status)
	}
	return ""
}

// reuse is IoReuseIrp, and sets the routine again.
func (q *request) reuse() ntstatus.Status {
	status := q.irp.Reuse(ntstatus.Unsuccessful)
	if status != ntstatus.Success {
		return status
	}
	q.mu.Lock()
	q.done = make(chan struct{})
	q.mu.Unlock()
	return q.irp.SetCompletionRoutine(q.completed, nil)
}

// wait waits for a request, and cancels it when the limit is over; see package await,
// whose calls have an IRP of their own and cannot use one again.
func (r *run) wait(q *request, limit time.Duration) irp.StatusBlock {
	over := q.over()
	if over == nil {
		return q.last()
	}
	if q.irp.State() == irp.Idle || q.irp.State() == irp.Freed { // no call has taken it
		return irp.StatusBlock{Status: q.returned}
	}
	late := !within(over, limit)
	if late {
		r.line.did(q.number, "cancel", "the limit of %v is over", limit)
		q.irp.Cancel()
		if !within(over, cleanLimit) {
			r.failf("IRP %d (%s) has not completed %v after its cancel", q.number, q.call, cleanLimit)
			return irp.StatusBlock{Status: ntstatus.Pending}
		}
	}
	block := q.last()
	if late && block.Status == ntstatus.Cancelled {
		block.Status = ntstatus.Timeout
	}
	return block
}

// within waits for the end of something, and reports whether it came in time.
func within(over <-chan struct{}, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	select {
	case <-over:
		return true
	case <-ctx.Done():
	}
	select {
	case <-over:
		return true
	default:
		return false
	}
}
