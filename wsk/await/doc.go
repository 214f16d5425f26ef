// Package await is for those who write scenarios: every verb of WSK as a call that
// waits, one that does not, a wait with a limit, and a cancel.
//
//	Send(socket, data, 0) = Verb[int] --+--> Sync(limit) = Async, then Await
//	ConnectEx(...), Receive(...), ...   +--> Async() = *Pending[int] --+--> Await(limit)
//	                                                                   +--> Cancel()
//
// The verbs have the names of WSK's functions without the prefix, and leave out what
// scenarios do not need, such as reserved flags. What they leave out can be called
// through Start and Do, which take any function that takes an IRP:
//
//	Start(func(i) { return socket.Send(buf, 0, i) }) ---> *Call --+--> Await(limit)
//	                                                              +--> Cancel()
//
// They behave as the helpers of win-net-test do: a call that did not pend is read at
// once. One that is not over in time is cancelled, and then waited for without limit,
// since its memory is the provider's until it completes; STATUS_CANCELLED is then
// told as STATUS_TIMEOUT. What a call receives is seen only when it is over.
//
// Who owns what: each call has an IRP of its own, used once, and memory of its own to
// receive into. The memory that it sends from is the caller's, and is to be left alone
// until the call is over. The package starts no goroutine.
//
// Limits: never wait inside a completion routine or an event callback; the request may
// be one that only their return lets complete.
package await
