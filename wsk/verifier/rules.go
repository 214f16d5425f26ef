package verifier

import (
	"slices"
	"strings"
)

// Rule is one rule of use, or of the provider's own conduct. IDs are stable.
type Rule struct {
	ID        string `json:"id"`
	Misuse    string `json:"misuse"`
	Detection string `json:"detection"`
	Anchor    string `json:"anchor"` // what catches it, or forbids it, on Windows
	// NotInGo is why the rule means nothing here; empty for a rule that is checked.
	NotInGo string `json:"notInGo,omitempty"`
	// Provider marks the rules that the provider keeps, not its client.
	Provider    bool   `json:"provider,omitempty"`
	Explanation string `json:"explanation,omitempty"`
}

// Checked reports whether the verifier checks the rule.
func (r Rule) Checked() bool { return r.NotInGo == "" }

// Rules returns all rules, in order: those of the client, then those of the provider.
func Rules() []Rule { return slices.Clone(ruleTable[:]) }

// Explain returns the rule of an ID, in any case, and whether there is one.
func Explain(id string) (Rule, bool) {
	for _, r := range ruleTable {
		if strings.EqualFold(r.ID, id) {
			return r, true
		}
	}
	return Rule{}, false
}

// Why some rules mean nothing here.
const (
	noStack  = "an IRP has one owner and no stack of drivers; a routine returns nothing and is always called"
	noIRQL   = "there is no IRQL: every call may be made from any goroutine and does not block"
	noMemory = "memory is the garbage collector's: it cannot be freed, paged or unlocked under an operation"
	noLocks  = "locks are Go's own; go vet and the race detector look after them"
)

// ruleTable is never written to.
var ruleTable = [...]Rule{
	{
		ID: "I1", Misuse: "IRP submitted, or reused, while still owned by a previous call",
		Detection: "the IRP's own state machine", Anchor: "Driver Verifier 0xC9 \"still in use\"; bug check 0x44",
		Explanation: "From the call that takes it until its completion routine is called, an IRP belongs to the provider. A second call with " +
			"it, or IoReuseIrp, pulls it from under the first: on Windows both requests are then lost or the machine stops. Use one IRP per request " +
			"under way, or wait for the completion.",
	},
	{
		ID: "I2", Misuse: "IRP used again without IoReuseIrp",
		Detection: "the IRP's own state machine: completed, not reset", Anchor: "Driver Verifier 0xC9; the WSK page on IRPs",
		Explanation: "A completed IRP keeps its result, its pending mark and its routine. IoReuseIrp (Reuse), and then IoSetCompletionRoutine " +
			"(SetCompletionRoutine), make it ready for the next request. Without that the call answers STATUS_INVALID_PARAMETER here, and uses stale " +
			"state on Windows.",
	},
	{
		ID: "I3", Misuse: "the client acts as the provider of an IRP that WSK owns: it submits or completes it itself, or completes one twice",
		Detection: "state, and who submitted", Anchor: "bug check 0x44; SDV DoubleCompletion, IoAllocateComplete",
		Explanation: "Only its owner completes an IRP, and only once. While WSK owns it the client may do one thing: IoCancelIrp. An IRP completed " +
			"by its client is completed a second time when WSK is done with it.",
	},
	{
		ID: "I4", Misuse: "IRP freed while pending, freed twice, used after it was freed, or freed without having come from IoAllocateIrp",
		Detection: "state, and whether New made it", Anchor: "Driver Verifier 0xC9/0x01, 0x02; SDV IoAllocateFree",
		Explanation: "IoFreeIrp gives back what IoAllocateIrp (irp.New) gave, once, and not while a request has it. An IRP that is part of another " +
			"object (the zero value) is not to be freed. Cancel a request that is no longer wanted, wait for its completion, and free then.",
	},
	{
		ID: "I5", Misuse: "IoReuseIrp or IoInitializeIrp on the wrong kind of IRP",
		Detection: "–", Anchor: "SDV IoReuseIrp, IoReuseIrp2; Driver Verifier 0xC9", NotInGo: "there is one kind of IRP, and Reuse fits it",
	},
	{
		ID: "I6", Misuse: "no stack location left", Detection: "–",
		Anchor: "Driver Verifier 0xC9 \"run out of stack locations\"; the WSK page on IRPs", NotInGo: noStack,
	},
	{
		ID: "I7", Misuse: "own IRP without completion routine, or not all three invoke flags set", Detection: "–",
		Anchor: "SDV IoAllocateForward; the WSK page on IRPs", NotInGo: noStack + "; one without a routine is asked for its state",
	},
	{
		ID: "I8", Misuse: "routine of an own IRP returns something else than STATUS_MORE_PROCESSING_REQUIRED", Detection: "–",
		Anchor: "the WSK page on IRPs", NotInGo: noStack,
	},
	{
		ID: "I9", Misuse: "routine of a passed-down IRP does not pass PendingReturned on", Detection: "–",
		Anchor: "Driver Verifier 0xC9; SDV MarkIrpPending", NotInGo: noStack,
	},
	{
		ID: "I10", Misuse: "IRP touched after completion or after it was freed", Detection: "–",
		Anchor: "Special Pool 0xC1, 0xD5", NotInGo: noMemory + "; what a call can see of it is I2 and I4",
	},
	{
		ID: "I11", Misuse: "IRP leaked: allocated and not freed when its registration ends",
		Detection: "table of what Verifier.NewIRP gave out, with stacks", Anchor: "pool tracking 0xC4/0x62; bug check 0xCE",
		Explanation: "Every IRP from IoAllocateIrp needs an IoFreeIrp, on every path: also where the call failed, was cancelled, or completed " +
			"inline. Here the garbage collector takes what irp.New made; only IRPs from Verifier.NewIRP are counted, so that a driver's bookkeeping can be tested.",
	},
	{
		ID: "I12", Misuse: "required IRP missing, or IRP given where it must be NULL",
		Detection: "per call", Anchor: "the WskControlSocket, WskControlClient and SO_WSK_EVENT_CALLBACK pages",
		Explanation: "Nearly every function needs an IRP; without one it answers STATUS_INVALID_PARAMETER here, and faults on Windows. Enabling " +
			"event callbacks, two ioctls and all codes of WskControlClient but WSK_TRANSPORT_LIST_CHANGE take none. Enabling with one works on Windows and " +
			"here, and real clients do it; the page says NULL.",
	},
	{
		ID: "I13", Misuse: "IRP pending longer than a limit, or its completion never looked at",
		Detection: "Check, against Limits.Pending; at the end, IRPs without routine whose result nobody read", Anchor: "I/O Verification \"too long to cancel\"",
		Explanation: "A request with no end in sight is mostly one that nobody waits for, cancels or limits: a receive from a peer that says " +
			"nothing, a send that the peer does not take, a graceful disconnect that it does not answer. Give each wait a limit: wait, IoCancelIrp, wait again.",
	},
	{
		ID: "I14", Misuse: "result read before the completion",
		Detection: "reading the status block while the provider owns the IRP; provoked by force-pending", Anchor: "Force Pending I/O Requests",
		Explanation: "A call that answers STATUS_PENDING has no result yet. A client that reads IoStatus or the buffer right away works as " +
			"long as the request happens to complete at once, and fails the first time that it does not. Wait for the routine, or until the IRP is completed.",
	},
	{
		ID: "S1", Misuse: "call on a socket that is closed, closing or none (a wrong category does not compile)",
		Detection: "the socket's state; for a nil socket, what watches the IRP", Anchor: "the WskCloseSocket page; category pages",
		Explanation: "After WskCloseSocket was called the socket is nobody's: its memory may be gone before the close has even returned. Here the call " +
			"answers STATUS_FILE_FORCED_CLOSED, on Windows it touches freed memory. Make the close the last thing that anybody does with a socket.",
	},
	{
		ID: "S2", Misuse: "WskCloseSocket while another thread is inside a call on that socket",
		Detection: "calls that have not returned, per socket; both stacks are told", Anchor: "the WskCloseSocket page",
		Explanation: "Requests may be pended when a socket is closed, but no call may be running in any function of it. Whoever closes has to know " +
			"that nobody else is about to call: by a lock, a reference count, or one owner. Here such a call still completes its IRP; on Windows it may run on freed memory.",
	},
	{
		ID: "S3", Misuse: "second WskCloseSocket", Detection: "the socket's state", Anchor: "the WskCloseSocket page",
		Explanation: "A socket is closed once, by one owner. The second close finds a socket that is closing or gone: STATUS_FILE_FORCED_CLOSED " +
			"here, freed memory on Windows. Two error paths that both clean up are the usual cause.",
	},
	{
		ID: "S4", Misuse: "WskCloseSocket while retained indications are not released",
		Detection: "table of retained indications", Anchor: "the WskRelease and WskCloseSocket pages",
		Explanation: "What a receive callback kept by returning STATUS_PENDING goes back with WskRelease before the close, which does not release it. " +
			"On Windows its memory is lost, or the close does not complete.",
	},
	{
		ID: "S5", Misuse: "WskRelease of a list that is unknown, partly unknown, or already released",
		Detection: "table of retained indications", Anchor: "the WskRelease page",
		Explanation: "WskRelease takes what a callback was given and kept, each element once. Parts of a list, and lists that were linked anew, are " +
			"accepted, as real clients do that; an element that is not out is not.",
	},
	{
		ID: "S6", Misuse: "call in the wrong state: before bind or connect, after disconnect, callbacks enabled too early",
		Detection: "the table of functions and states (LIFECYCLES.md)", Anchor: "the pages of the functions",
		Explanation: "Each function has states in which it is legal, and answers STATUS_INVALID_DEVICE_STATE in the others: bind before connect, " +
			"connect before send, nothing to send behind a graceful disconnect, callbacks enabled after bind or connect.",
	},
	{
		ID: "S7", Misuse: "reserved or contradictory flags: nonzero reserved Flags, a buffer with an abortive disconnect, WskInspectPend to WskInspectComplete, a category or value that does not exist",
		Detection: "arguments", Anchor: "the pages of the functions",
		Explanation: "Flags are per function and reserved bits are 0: the same number means different things to WskSend, WskReceive and " +
			"WskDisconnect. WSK_FLAG_WAITALL and WSK_FLAG_DRAIN exclude each other, and an abortive disconnect has no buffer.",
	},
	{
		ID: "S8", Misuse: "SOCKADDR missing, of another family than the socket, or without host or port; output buffer too small",
		Detection: "arguments", Anchor: "the pages of the functions",
		Explanation: "There is no length beside a SOCKADDR: its type must be that of the socket's family, also for wildcards. An IPv4 peer of a " +
			"dual-stack socket is a v4-mapped AF_INET6 address. An output buffer has room for the whole value; a transport list may be asked for its size first.",
	},
	{
		ID: "S9", Misuse: "parallel WskAccept on one listening socket",
		Detection: "calls of Accept that have not returned, per socket; a warning", Anchor: "undocumented; unsafe on Windows",
		Explanation: "Any number of accepts may be pended, but two threads inside WskAccept on one socket at a time are not known to be safe on " +
			"Windows. Post them one after the other.",
	},
	{
		ID: "S10", Misuse: "socket, also an accepted one, still open when the registration is to end",
		Detection: "Deregister that gives up, or waits longer than Limits.Deregister", Anchor: "the WskDeregister page",
		Explanation: "WskDeregister waits until every socket is closed, and a driver that unloads then hangs for ever. An accept that completes " +
			"while its client shuts down is the usual leak: its socket is in the IRP that nobody looks at any more.",
	},
	{
		ID: "S11", Misuse: "event callbacks switched with a mask that is not allowed, such as disabling several at once; table of callbacks changed while in use",
		Detection: "arguments; the table's functions are compared at each callback", Anchor: "the SO_WSK_EVENT_CALLBACK page",
		Explanation: "One call enables any of the socket's own events that its table has a callback for, and one call disables exactly one. Static callbacks " +
			"cannot be switched. The table and the context belong to the socket while it lives: on Windows a changed or freed one is called all the same.",
	},
	{
		ID: "S12", Misuse: "the signal that a socket is dead is ignored",
		Detection: "a callback with a NULL indication or socket, and no close within Limits.Dead", Anchor: "the pages of the event callbacks",
		Explanation: "An event callback with NULL in place of its data says that the socket no longer works. All that is left is WskCloseSocket, " +
			"soon; a listener is then made anew.",
	},
	{
		ID: "B1", Misuse: "WSK_BUF that its chain does not hold: Offset beyond the first MDL, Length beyond the chain, or missing",
		Detection: "the chain is walked when it is submitted", Anchor: "the WSK_BUF page",
		Explanation: "Offset counts into the first MDL only, and Offset and Length lie within the chain, which may be longer. A wrong length " +
			"makes Windows read or write beyond the buffer. More than WskConnectEx takes is no such thing: it has a status of its own.",
	},
	{
		ID: "B2", Misuse: "MDL not built or locked, or unlocked or freed during the operation", Detection: "–",
		Anchor: "\"must remain locked until the IRP completes\"; 0xC4/0x7C, 0x7F; 0xCB", NotInGo: noMemory,
	},
	{
		ID: "B3", Misuse: "receive buffer used by the client while pending",
		Detection: "contents: the provider fills a buffer of its own, and the client's must be unchanged at the completion", Anchor: "I/O Verification (unwound stack); the pages of the functions",
		Explanation: "A receive buffer is the provider's until the IRP completes. On Windows one that was freed, or was on a stack that is gone, is " +
			"written to by the network. Go keeps the memory alive, so what can be seen is that somebody else has written to it.",
	},
	{
		ID: "B4", Misuse: "send buffer changed while pending",
		Detection: "contents at the submission and at the completion", Anchor: "none: Windows does not notice",
		Explanation: "The provider reads a send buffer until the IRP completes, for retransmissions too: what the peer gets of a buffer that changes " +
			"is anybody's guess, and may differ from one retransmission to the next.",
	},
	{
		ID: "B5", Misuse: "indication written beyond its bytes, or used after WskRelease or after the callback's return",
		Detection: "red zone behind the bytes; the memory is poisoned when it goes back, and looked at again later", Anchor: "Special Pool",
		Explanation: "The memory of an indication is the transport's, and exactly as long as it says. It is valid until the callback returns, or, " +
			"after STATUS_PENDING, until WskRelease. Under the verifier it is overwritten then, so a client that reads it late sees that at once.",
	},
	{
		ID: "B6", Misuse: "event callback answers what is not allowed: BytesAccepted beyond BytesIndicated, STATUS_PENDING with a partial accept, a status that the callback does not have",
		Detection: "answers of the callbacks", Anchor: "the WskReceiveEvent page",
		Explanation: "A receive callback takes all (STATUS_SUCCESS), the first BytesAccepted bytes (STATUS_SUCCESS and fewer), all for later (STATUS_PENDING), or " +
			"nothing (STATUS_DATA_NOT_ACCEPTED). An accept callback answers STATUS_SUCCESS or STATUS_REQUEST_NOT_ACCEPTED, an inspect callback one of its three actions, all " +
			"others STATUS_SUCCESS.",
	},
	{
		ID: "B7", Misuse: "WskFreeAddressInfo missing, called twice, or with a foreign pointer",
		Detection: "table of lists given out", Anchor: "the WskGetAddressInfo page",
		Explanation: "The list that WskGetAddressInfo makes goes back with WskFreeAddressInfo, whole, once, by its head, before the registration ends. " +
			"Nothing else frees it on Windows.",
	},
	{
		ID: "Q1", Misuse: "call above its documented IRQL", Detection: "–", Anchor: "DDI compliance 0xC4", NotInGo: noIRQL,
	},
	{
		ID: "Q2", Misuse: "wait with a time-out at DISPATCH_LEVEL", Detection: "–",
		Anchor: "0xC4/0x3B; SDV IrqlKeWaitForMultipleObjects", NotInGo: noIRQL,
	},
	{
		ID: "Q3", Misuse: "waiting for a WSK request inside a completion or event callback",
		Detection: "Check: a callback that has not returned within Limits.Callback, whose goroutine waits, while a request that it would hold up is pended", Anchor: "the pages of the event callbacks, explicit prohibition",
		Explanation: "Callbacks of a socket run one after the other, on the thread that would have to complete the request that is waited for: it " +
			"never completes. Windows forbids it at every IRQL. Start the request in the callback and go on in its completion routine, or wake a thread of your own.",
	},
	{
		ID: "Q4", Misuse: "recursion: completion routines that submit requests which complete inline, ever deeper",
		Detection: "routines on one goroutine's stack, against Limits.Depth; provoked by force-inline", Anchor: "the note on the WSK page on IRPs",
		Explanation: "A routine may start the next request. If that completes at once its routine runs inside the first, and so on until the " +
			"kernel's small stack is used up. Break the chain: after a few levels let a thread of your own go on.",
	},
	{
		ID: "Q5", Misuse: "IRQL changed across a callback, or spin lock held on return", Detection: "–",
		Anchor: "0xC9/0x05; SDV IrqlReturn, SpinLock", NotInGo: noIRQL,
	},
	{
		ID: "Q6", Misuse: "spin lock recursion, release by another, lock-order inversion", Detection: "–",
		Anchor: "0xC4/0x32, 0x40 to 0x42; Deadlock Detection; SDV SpinLock, SpinlockRelease", NotInGo: noLocks,
	},
	{
		ID: "Q7", Misuse: "PAGED_CODE or paged pool at DISPATCH_LEVEL", Detection: "–",
		Anchor: "SDV PagedCode; Force IRQL Checking", NotInGo: noIRQL,
	},
	{
		ID: "Q8", Misuse: "KeSetEvent with Wait at DISPATCH_LEVEL", Detection: "–", Anchor: "SDV IrqlKeSetEvent", NotInGo: noIRQL,
	},
	{
		ID: "Q9", Misuse: "event or lock freed while a waiter or a pending IRP refers to it", Detection: "–",
		Anchor: "Miscellaneous Checks", NotInGo: noMemory,
	},
	{
		ID: "R1", Misuse: "register and deregister, or capture and release, not paired; dispatch table used after its release, or of another client",
		Detection: "counts", Anchor: "the WskRegister and WskReleaseProviderNPI pages",
		Explanation: "Each successful WskRegister needs one WskDeregister, each successful WskCaptureProviderNPI one WskReleaseProviderNPI, and after " +
			"the last release no function of the dispatch table is called. Sockets stay usable.",
	},
	{
		ID: "R2", Misuse: "registrations, sockets or IRPs alive at unload",
		Detection: "Finish, with stacks", Anchor: "0xC4/0x62, 0xCE, 0xCB, 0x93",
		Explanation: "A driver that unloads while WSK still has something of its is called in memory that is gone. The order is: close every socket and wait, " +
			"release, deregister, unload.",
	},
	{
		ID: "R3", Misuse: "WskDeregister from a callback",
		Detection: "calls made while a callback or routine is on the goroutine's stack", Anchor: "the WskDeregister page (PASSIVE_LEVEL)",
		Explanation: "WskDeregister waits until every callback has returned, this one included: it waits for itself.",
	},

	{
		ID: "M1", Provider: true, Misuse: "IRP completed twice, or not at all by the time its socket is closed",
		Detection: "the IRP's own state machine; requests per socket", Anchor: "mirror of I1 to I3",
		Explanation: "The completion routine runs exactly once for each IRP that a call has taken.",
	},
	{
		ID: "M2", Provider: true, Misuse: "STATUS_PENDING returned and the IRP not marked, or marked and something else returned",
		Detection: "returned status against PendingReturned", Anchor: "0xC9; SDV MarkIrpPending",
		Explanation: "A call answers STATUS_PENDING exactly if PendingReturned is true in the routine. If it answers anything else the routine has run before it returned.",
	},
	{
		ID: "M3", Provider: true, Misuse: "request's memory touched after the completion",
		Detection: "receive buffers that the provider filled are looked at again later", Anchor: "mirror of B3 and I10",
		Explanation: "With its completion a request's memory is the client's again; the provider neither reads nor writes it any more.",
	},
	{
		ID: "M4", Provider: true, Misuse: "two callbacks of one socket at a time",
		Detection: "routines of pended requests and event callbacks, per socket", Anchor: "the pages of the event callbacks",
		Explanation: "Routines of pended requests and event callbacks of one socket are called one after the other. Requests that complete before their call returns are exempt.",
	},
	{
		ID: "M5", Provider: true, Misuse: "something of a socket runs after its close has completed",
		Detection: "callbacks and completions per socket", Anchor: "the WskCloseSocket page",
		Explanation: "The close's IRP completes last: nothing of the socket is pended then and nothing of it is called afterwards.",
	},
	{
		ID: "M6", Provider: true, Misuse: "status returned is not the one in the IRP",
		Detection: "returned status against the status block", Anchor: "the pages of the functions",
		Explanation: "What a call returns, if it is not STATUS_PENDING, is what its IRP was completed with.",
	},
}
