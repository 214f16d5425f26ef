package await

import (
	"time"

	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// Verb is a call of package wsk that has not been made yet, with all it needs but the
// IRP; T is what it gives. The functions of this package with the names of WSK's make
// them. A Verb can be called as often as one likes, each time with an IRP of its own;
// the memory that it was given to send from is the provider's while such a call
// pends.
type Verb[T any] struct {
	// begin makes what one call needs of its own, such as a buffer to receive into.
	begin func() (submit func(i *irp.IRP) ntstatus.Status, value func(irp.StatusBlock) T)
}

// Pending is a call that was made: win-net-test's WskXxxAsync, with WskXxxAwait and
// WskXxxCancel as its methods. All methods are safe for concurrent use.
type Pending[T any] struct {
	call  *Call
	value func(irp.StatusBlock) T
}

// Result is how a call ended.
type Result[T any] struct {
	// StatusBlock is the IRP's, but for STATUS_TIMEOUT where the limit ended the call.
	irp.StatusBlock
	// Value is what the call gave: of a receive also what a cancelled one had got; the
	// zero value if there is nothing. It was the provider's until now.
	Value T
}

// Get returns the value, and an error (an ntstatus.Error) for every status but
// STATUS_SUCCESS, STATUS_TIMEOUT among them.
func (r Result[T]) Get() (T, error) {
	if r.Status == ntstatus.Success {
		return r.Value, nil
	}
	return r.Value, ntstatus.Error(r.Status)
}

// Async makes the call and returns at once. A call that ended before it returned is
// over: Await then only reads the result.
func (v Verb[T]) Async() *Pending[T] {
	submit, value := v.begin()
	return &Pending[T]{call: Start(submit), value: value}
}

// Sync makes the call and waits for it; see Await.
func (v Verb[T]) Sync(limit time.Duration) Result[T] { return v.Async().Await(limit) }

// Returned is what the call returned: STATUS_PENDING, or the final status.
func (p *Pending[T]) Returned() ntstatus.Status { return p.call.Returned() }

// Done is closed when the call is over.
func (p *Pending[T]) Done() <-chan struct{} { return p.call.Done() }

// IRP is the call's. It is the provider's until Done; canceling it is allowed at any
// time.
func (p *Pending[T]) IRP() *irp.IRP { return p.call.irp }

// Await waits until the call is over and returns how it ended. Once limit is over
// (0: at once; NoLimit: never) it cancels the call, and waits on without a limit,
// since the memory is the provider's until then. A call that ends by that has
// STATUS_TIMEOUT; one that was quicker than the cancel has succeeded.
func (p *Pending[T]) Await(limit time.Duration) Result[T] {
	return p.result(p.call.Await(limit))
}

// Cancel cancels the call, waits until it is over, and returns how it ended: with
// STATUS_CANCELLED, or as if there had been no cancel. On a call that is over it only
// returns how it ended.
func (p *Pending[T]) Cancel() Result[T] { return p.result(p.call.Cancel()) }

func (p *Pending[T]) result(block irp.StatusBlock) Result[T] {
	r := Result[T]{StatusBlock: block}
	if p.value != nil {
		r.Value = p.value(block)
	}
	return r
}
