// Package irp is the life of an I/O request packet: one operation handed to the
// provider, completed exactly once, whatever happens.
//
//	          Submit              Complete              Reuse
//	 Idle ------------> Pending -----------> Completed -------> Idle
//	  |                    |                  ^     |
//	  | Cancel             | Cancel           |     | Free
//	  v                    v                  |     v
//	Marked --Submit--> Cancelling --Complete--+   Freed
//
// The table in table.go is the whole truth; a test walks every cell of it.
//
// Who owns an IRP: the client, from New (or from the zero value) until a call
// takes it; the provider, from that call until the completion routine is called;
// then the client again, who may free, reuse or submit it from inside the
// routine. While the provider owns it the client may only call Cancel. Submit and
// Request are the provider's side; a client never calls them.
//
// Locks: an IRP has one lock, a leaf. Neither the completion routine nor the
// cancel hook is ever called with it held. The package starts no goroutine and
// no call of it blocks.
//
// Limits: every IRP belongs to the client that made it; there is no stack of
// drivers to pass one on to. Therefore a completion routine returns nothing (on
// Windows it would always return STATUS_MORE_PROCESSING_REQUIRED), is invoked on
// success, error and cancel alike, and gets no device object.
package irp
