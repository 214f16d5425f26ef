package await

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// NoLimit is the limit that waits for as long as it takes.
const NoLimit time.Duration = -1

// Call is a request that was submitted. All methods are safe for concurrent use.
type Call struct {
	irp      *irp.IRP
	done     chan struct{} // closed by the completion routine
	returned ntstatus.Status
	ended    atomic.Uint32 // who cancelled first
}

// Who cancelled a call.
const (
	nobody uint32 = iota
	aLimit
	aCancel
)

// Start submits a request with an IRP of its own and returns at once.
func Start(submit func(i *irp.IRP) ntstatus.Status) *Call {
	c := &Call{done: make(chan struct{})}
	c.irp = irp.New(func(*irp.IRP, any) { close(c.done) }, nil)
	c.returned = submit(c.irp)
	return c
}

// Do submits a request and waits for it; see Call.Await.
func Do(limit time.Duration, submit func(i *irp.IRP) ntstatus.Status) irp.StatusBlock {
	return Start(submit).Await(limit)
}

// Returned is what the call returned: STATUS_PENDING, or the final status.
func (c *Call) Returned() ntstatus.Status { return c.returned }

// Done is closed when the request has completed.
func (c *Call) Done() <-chan struct{} { return c.done }

// Await waits until the request has completed and returns its result. Once limit is
// over (0: at once; NoLimit: never) it cancels the request, and waits on. A request
// that ends by that has STATUS_TIMEOUT in place of STATUS_CANCELLED; Information is
// what it has moved. A submit that took no IRP has the status that it returned.
func (c *Call) Await(limit time.Duration) irp.StatusBlock {
	if limit < 0 {
		return c.AwaitContext(context.Background())
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return c.AwaitContext(ctx)
}

// AwaitContext is Await with a context in place of the limit.
func (c *Call) AwaitContext(ctx context.Context) irp.StatusBlock {
	if c.untaken() {
		return irp.StatusBlock{Status: c.returned}
	}
	select {
	case <-c.done: // however long ago the limit was over
		return c.result()
	default:
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		c.end(aLimit)
	}
	return c.result()
}

// Cancel cancels the request, waits until it has completed, and returns its result:
// it may have succeeded all the same.
func (c *Call) Cancel() irp.StatusBlock {
	if c.untaken() {
		return irp.StatusBlock{Status: c.returned}
	}
	c.end(aCancel)
	return c.result()
}

// untaken reports whether the submit did not take the IRP.
func (c *Call) untaken() bool { return c.irp.State() == irp.Idle || c.irp.State() == irp.Marked }

// end cancels the request and waits for it.
func (c *Call) end(who uint32) {
	c.ended.CompareAndSwap(nobody, who)
	c.irp.Cancel()
	<-c.done
}

// result is the completed request's.
func (c *Call) result() irp.StatusBlock {
	result := c.irp.IoStatus()
	if result.Status == ntstatus.Cancelled && c.ended.Load() == aLimit {
		result.Status = ntstatus.Timeout
	}
	return result
}
