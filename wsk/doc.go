// Package wsk is a socket layer in the shape of Windows' Winsock Kernel (WSK):
// asynchronous sockets whose every call is one IRP, completed exactly once.
//
//	client goroutine        Socket.ConnectEx(addr, buf, 0, irp)
//	      |                                          ^ completion routine
//	      v  checked, copied, queued; STATUS_PENDING |  (never on this goroutine)
//	  +--------- flow: one per socket ---------------+----+
//	  | state table | queues: connect, sends, recvs, close |
//	  +-----------+------------------------------^---------+
//	      worker: |                              | wake
//	      v  Connect, Write, Read, CloseWrite    |
//	  Transport (made by a Network; package onstack joins it to the stack)
//
// A Provider stands on a Network. A client registers, captures the provider's
// dispatch table, creates sockets, closes them, releases, deregisters. Names and
// the order of parameters are those of wsk.h without the Wsk prefix, one Go type
// stands for each category's dispatch table, and numbers (families, options,
// flags, statuses) are Windows' own.
//
// Names are resolved by a Resolver that the provider was given, each query on a
// goroutine of its own, which ends with the query's IRP.
//
// No call blocks, except CaptureProviderNPI with a wait and Deregister, which say
// so: this is what IRQL <= DISPATCH_LEVEL means here. A call takes the socket's
// lock for as long as it takes to move bytes between memory, and never waits for
// the network, a timer or another request.
//
// Each call that takes an IRP does one of two things. It answers STATUS_PENDING:
// then the IRP completes later, or has just done so, on a goroutine of the
// socket's with nothing of the caller's below it, and PendingReturned is true. Or
// it answers a failure: then the IRP has been completed with that status before
// the call returned, and PendingReturned is false. A call that could have
// succeeded at once pends all the same, unless Provider.SetCompletionMode says
// otherwise. The one exception is a call whose IRP is
// nil, or not idle: it answers STATUS_INVALID_PARAMETER and touches nothing, since
// there is no IRP of its own to complete. An IRP that was cancelled before the
// call completes with STATUS_CANCELLED.
//
// Who owns what: addresses, option values and the fields of a Buf are copied
// before a call returns. The memory of a Buf's MDL chain belongs to the provider
// until the IRP completes. A socket's memory is the garbage collector's; what
// matters is that it is closed. A completion routine must not wait for another
// request, since it may be the one that would have to complete it: routines of one
// socket are called one after the other. It may start requests and close the
// socket.
//
// A socket's worker is a goroutine that lives while there is something to do at
// the moment; a socket with a pending receive and no data has none. Sends and receives
// move what they can in their call, on the caller's goroutine; what is left, and every
// completion of a call that pended, is the worker's. Locks: a
// listening socket's before those of the sockets it accepts; a socket's before its
// IRPs', its transport's and the provider's, which are leaves to this package;
// completion routines and event callbacks run under none.
//
// Event callbacks are called by the worker as well, one at a time and never while a
// routine of the same socket runs. Received data goes to pended requests first, and
// to a callback only while there are none. Data that a callback does not take, at
// most 64 KiB, is kept for the next request, the rest stays in the transport, whose
// window closes.
//
// LIFECYCLES.md shows the life cycles of IRPs and sockets as tables, REFERENCE.md each
// function beside its signature in C and what differs from Windows, STATUSES.md which
// status comes when.
//
// An Observer is told of all of this; package verifier has one that finds misuse, by
// the rules of VERIFIER.md.
//
// FUNCTIONS.md lists every function, option, ioctl and control code with what becomes
// of it. What a transport can do besides carrying bytes is in interfaces of their own
// (Inspector, Silencer, Sharer ...): over one that lacks them, the functions that need
// them answer STATUS_NOT_SUPPORTED.
//
// Limits: raw sockets are there for ICMP and ICMPv6 alone. A pended connection request
// waits for 75 seconds. Address sharing is decided among the provider's own sockets, by
// Windows' table, where the check of a security context always denies; a port that
// something else on the network holds answers STATUS_ADDRESS_ALREADY_EXISTS. Options
// and ioctls without a meaning here are refused; a network's addresses do not change, so
// what waits for that goes on waiting. Of control messages a datagram is sent with, the
// hop limit alone is there. Owning process, owning thread and security descriptor have no
// meaning here, and Socket and SocketConnect do not have these parameters.
package wsk
