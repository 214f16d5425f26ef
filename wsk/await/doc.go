// Package await is for those who write scenarios: it waits for requests, with a limit.
//
//	Start(func(i) { return socket.Send(buf, 0, i) }) ---> *Call --+--> Await(limit)
//	                                                              +--> Cancel
//	Do(limit, func(i) ...) = Start, then Await
//
// Every function of package wsk that takes an IRP can be called in each of these
// ways. A request that is not over in time is cancelled, and then waited for without
// limit, since its memory is the provider's until it completes; it counts as timed out
// only if the cancel won.
//
// Who owns what: a Call owns its IRP, which is used once. The package starts no
// goroutine.
//
// Limits: never wait inside a completion routine or an event callback; the request may
// be one that only their return lets complete.
package await
