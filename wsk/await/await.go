package await

import (
	"context"
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
}

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
	if c.irp.State() == irp.Idle || c.irp.State() == irp.Marked {
		return irp.StatusBlock{Status: c.returned} // the IRP was never handed in
	}
	ctx, cancel := context.WithCancel(context.Background())
	if limit >= 0 {
		ctx, cancel = context.WithTimeout(ctx, limit)
	}
	defer cancel()
	select {
	case <-c.done:
		return c.irp.IoStatus()
	case <-ctx.Done():
	}
	c.irp.Cancel()
	<-c.done
	result := c.irp.IoStatus()
	if result.Status == ntstatus.Cancelled {
		result.Status = ntstatus.Timeout
	}
	return result
}

// Cancel cancels the request, waits until it has completed, and returns its result:
// it may have succeeded all the same.
func (c *Call) Cancel() irp.StatusBlock {
	c.irp.Cancel()
	return c.Await(NoLimit)
}
