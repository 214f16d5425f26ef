package wsk_test

// A referenceFunction is a function of wsk.h beside the methods that stand for it.
type referenceFunction struct {
	c     string   // its name there
	sig   []string // parameters: type and name
	gives string   // what it returns, NTSTATUS unless said otherwise
	goes  string   // the method's name, WSK's without Wsk unless said otherwise
	on    []string // the types that have the method, in the order of the slots
	slots string   // where it is
	note  string
}

var everySocket = []string{"BasicSocket", "ListenSocket", "DatagramSocket", "ConnectionSocket", "StreamSocket"}

// referenceFunctions is the page's list, in its order. It is never written to.
var referenceFunctions = []struct {
	title     string
	functions []referenceFunction
}{
	{"Registration", []referenceFunction{
		{c: "WskRegister", on: []string{"Provider"},
			sig:  []string{"PWSK_CLIENT_NPI WskClientNpi", "PWSK_REGISTRATION WskRegistration"},
			note: "The subsystem is a value here, a `Provider`; on Windows there is one, and nothing to name it by."},
		{c: "WskCaptureProviderNPI", on: []string{"Registration"},
			sig:  []string{"PWSK_REGISTRATION WskRegistration", "ULONG WaitTimeout", "PWSK_PROVIDER_NPI WskProviderNpi"},
			note: "Milliseconds; `NoWait`, `InfiniteWait`. Blocks for as long, as on Windows."},
		{c: "WskReleaseProviderNPI", on: []string{"Registration"}, gives: "VOID", sig: []string{"PWSK_REGISTRATION WskRegistration"},
			note: "Sockets stay usable."},
		{c: "WskQueryProviderCharacteristics", on: []string{"Registration"},
			sig: []string{"PWSK_REGISTRATION WskRegistration", "PWSK_PROVIDER_CHARACTERISTICS WskProviderCharacteristics"}},
		{c: "WskDeregister", on: []string{"Registration"}, gives: "VOID", sig: []string{"PWSK_REGISTRATION WskRegistration"},
			note: "Waits as on Windows. `DeregisterContext` waits with a limit, and tells what it was waiting for."},
		{c: "WskDeregister", goes: "DeregisterContext", on: []string{"Registration"}, gives: "VOID", sig: []string{"PWSK_REGISTRATION WskRegistration"},
			note: "Not in wsk.h: WskDeregister with a limit."},
	}},
	{"WSK_PROVIDER_DISPATCH", []referenceFunction{
		{c: "WskSocket", on: []string{"ProviderDispatch"}, slots: "slot 1",
			sig: []string{"PWSK_CLIENT Client", "ADDRESS_FAMILY AddressFamily", "USHORT SocketType", "ULONG Protocol", "ULONG Flags",
				"PVOID SocketContext", "const VOID *Dispatch", "PEPROCESS OwningProcess", "PETHREAD OwningThread",
				"PSECURITY_DESCRIPTOR SecurityDescriptor", "PIRP Irp"},
			note: "The socket is `Object` of the status block, a pointer to the type of its category; on Windows it is the Information."},
		{c: "WskSocketConnect", on: []string{"ProviderDispatch"}, slots: "slot 2",
			sig: []string{"PWSK_CLIENT Client", "USHORT SocketType", "ULONG Protocol", "PSOCKADDR LocalAddress", "PSOCKADDR RemoteAddress",
				"ULONG Flags", "PVOID SocketContext", "const WSK_CLIENT_CONNECTION_DISPATCH *Dispatch", "PEPROCESS OwningProcess",
				"PETHREAD OwningThread", "PSECURITY_DESCRIPTOR SecurityDescriptor", "PIRP Irp"}},
		{c: "WskControlClient", on: []string{"ProviderDispatch"}, slots: "slot 3",
			sig: []string{"PWSK_CLIENT Client", "ULONG ControlCode", "SIZE_T InputSize", "PVOID InputBuffer", "SIZE_T OutputSize",
				"PVOID OutputBuffer", "SIZE_T *OutputSizeReturned", "PIRP Irp"}},
		{c: "WskGetAddressInfo", on: []string{"ProviderDispatch"}, slots: "slot 4",
			sig: []string{"PWSK_CLIENT Client", "PUNICODE_STRING NodeName", "PUNICODE_STRING ServiceName", "ULONG NameSpace", "GUID *Provider",
				"PADDRINFOEXW Hints", "PADDRINFOEXW *Result", "PEPROCESS OwningProcess", "PETHREAD OwningThread", "PIRP Irp"},
			note: "Asks the `Resolver` that `Provider.SetResolver` was given."},
		{c: "WskFreeAddressInfo", on: []string{"ProviderDispatch"}, slots: "slot 5", gives: "VOID",
			sig: []string{"PWSK_CLIENT Client", "PADDRINFOEXW AddrInfo"}},
		{c: "WskGetNameInfo", on: []string{"ProviderDispatch"}, slots: "slot 6",
			sig: []string{"PWSK_CLIENT Client", "PSOCKADDR SockAddr", "ULONG SockAddrLength", "PUNICODE_STRING NodeName",
				"PUNICODE_STRING ServiceName", "ULONG Flags", "PEPROCESS OwningProcess", "PETHREAD OwningThread", "PIRP Irp"}},
	}},
	{"Every socket", []referenceFunction{
		{c: "WskControlSocket", on: everySocket, slots: "slot 0 of every table",
			sig: []string{"PWSK_SOCKET Socket", "WSK_CONTROL_SOCKET_TYPE RequestType", "ULONG ControlCode", "ULONG Level", "SIZE_T InputSize",
				"PVOID InputBuffer", "SIZE_T OutputSize", "PVOID OutputBuffer", "SIZE_T *OutputSizeReturned", "PIRP Irp"},
			note: "`SetOption`, `GetOption`, `Ioctl`. What is in the buffers is laid out as on 64-bit Windows, little-endian."},
		{c: "WskCloseSocket", on: everySocket, slots: "slot 1 of every table", sig: []string{"PWSK_SOCKET Socket", "PIRP Irp"},
			note: "Always pends, in every completion mode."},
	}},
	{"Addresses", []referenceFunction{
		{c: "WskBind", on: []string{"ListenSocket", "DatagramSocket", "ConnectionSocket", "StreamSocket"}, slots: "slot 2",
			sig: []string{"PWSK_SOCKET Socket", "PSOCKADDR LocalAddress", "ULONG Flags", "PIRP Irp"}},
		{c: "WskGetLocalAddress", on: []string{"ListenSocket", "DatagramSocket", "ConnectionSocket", "StreamSocket"},
			slots: "slot 5 (listening), 6 (datagram), 4 (connection), 10 (stream)",
			sig:   []string{"PWSK_SOCKET Socket", "PSOCKADDR LocalAddress", "PIRP Irp"}},
		{c: "WskGetRemoteAddress", on: []string{"ConnectionSocket", "StreamSocket"}, slots: "slot 5 (connection), 11 (stream)",
			sig: []string{"PWSK_SOCKET Socket", "PSOCKADDR RemoteAddress", "PIRP Irp"}},
	}},
	{"Listening", []referenceFunction{
		{c: "WskListen", on: []string{"StreamSocket"}, slots: "slot 5 (stream)", sig: []string{"PWSK_SOCKET Socket", "PIRP Irp"},
			note: "A socket of the listening category listens from WskBind on."},
		{c: "WskAccept", on: []string{"ListenSocket", "StreamSocket"}, slots: "slot 3",
			sig: []string{"PWSK_SOCKET ListenSocket", "ULONG Flags", "PVOID AcceptSocketContext",
				"const WSK_CLIENT_CONNECTION_DISPATCH *AcceptSocketDispatch", "PSOCKADDR LocalAddress", "PSOCKADDR RemoteAddress", "PIRP Irp"}},
		{c: "WskInspectComplete", on: []string{"ListenSocket"}, slots: "slot 4 (listening)",
			sig: []string{"PWSK_SOCKET ListenSocket", "PWSK_INSPECT_ID InspectID", "WSK_INSPECT_ACTION Action", "PIRP Irp"}},
	}},
	{"Connections", []referenceFunction{
		{c: "WskConnect", on: []string{"ConnectionSocket", "StreamSocket"}, slots: "slot 3 (connection), 4 (stream)",
			sig: []string{"PWSK_SOCKET Socket", "PSOCKADDR RemoteAddress", "ULONG Flags", "PIRP Irp"}},
		{c: "WskConnectEx", on: []string{"ConnectionSocket", "StreamSocket"}, slots: "slot 10 (connection), 12 (stream)",
			sig:  []string{"PWSK_SOCKET Socket", "PSOCKADDR RemoteAddress", "PWSK_BUF Buffer", "ULONG Flags", "PIRP Irp"},
			note: "With TCP_FASTOPEN set, the buffer or a part of it leaves in the SYN."},
		{c: "WskSend", on: []string{"ConnectionSocket", "StreamSocket"}, slots: "slot 6",
			sig: []string{"PWSK_SOCKET Socket", "PWSK_BUF Buffer", "ULONG Flags", "PIRP Irp"}},
		{c: "WskReceive", on: []string{"ConnectionSocket", "StreamSocket"}, slots: "slot 7",
			sig: []string{"PWSK_SOCKET Socket", "PWSK_BUF Buffer", "ULONG Flags", "PIRP Irp"}},
		{c: "WskSendEx", on: []string{"ConnectionSocket", "StreamSocket"}, slots: "slot 11 (connection), 13 (stream)",
			sig:  []string{"PWSK_SOCKET Socket", "PWSK_BUF Buffer", "ULONG Flags", "ULONG ControlInfoLength", "PCMSGHDR ControlInfo", "PIRP Irp"},
			note: "TCP takes no control information."},
		{c: "WskReceiveEx", on: []string{"ConnectionSocket", "StreamSocket"}, slots: "slot 12 (connection), 14 (stream)",
			sig: []string{"PWSK_SOCKET Socket", "PWSK_BUF Buffer", "ULONG Flags", "PULONG ControlInfoLength", "PCMSGHDR ControlInfo",
				"PULONG ControlFlags", "PIRP Irp"},
			note: "TCP gives no control information."},
		{c: "WskDisconnect", on: []string{"ConnectionSocket", "StreamSocket"}, slots: "slot 8",
			sig: []string{"PWSK_SOCKET Socket", "PWSK_BUF Buffer", "ULONG Flags", "PIRP Irp"}},
		{c: "WskRelease", on: []string{"ConnectionSocket", "StreamSocket"}, slots: "slot 9",
			sig: []string{"PWSK_SOCKET Socket", "PWSK_DATA_INDICATION DataIndication"}},
	}},
	{"Datagrams", []referenceFunction{
		{c: "WskSendTo", on: []string{"DatagramSocket"}, slots: "slot 3 (datagram)",
			sig: []string{"PWSK_SOCKET Socket", "PWSK_BUF Buffer", "ULONG Flags", "PSOCKADDR RemoteAddress", "ULONG ControlInfoLength",
				"PCMSGHDR ControlInfo", "PIRP Irp"}},
		{c: "WskReceiveFrom", on: []string{"DatagramSocket"}, slots: "slot 4 (datagram)",
			sig: []string{"PWSK_SOCKET Socket", "PWSK_BUF Buffer", "ULONG Flags", "PSOCKADDR RemoteAddress", "PULONG ControlLength",
				"PCMSGHDR ControlInfo", "PULONG ControlFlags", "PIRP Irp"}},
		{c: "WskRelease", on: []string{"DatagramSocket"}, slots: "slot 5 (datagram)",
			sig: []string{"PWSK_SOCKET Socket", "PWSK_DATAGRAM_INDICATION DatagramIndication"}},
		{c: "WskSendMessages", on: []string{"DatagramSocket"}, slots: "slot 7 (datagram)",
			sig: []string{"PWSK_SOCKET Socket", "PWSK_BUF_LIST BufferList", "ULONG Flags", "PSOCKADDR RemoteAddress", "ULONG ControlInfoLength",
				"PCMSGHDR ControlInfo", "PIRP Irp"}},
	}},
}

// A referenceCallback is an event callback of wsk.h beside the type that stands for it.
type referenceCallback struct {
	c    string // its name there, without PFN_ in capitals
	goes string // the type
	sig  []string
	gave string // what it returns, NTSTATUS unless said otherwise
	note string
}

// referenceCallbacks is never written to.
var referenceCallbacks = []referenceCallback{
	{c: "WskAcceptEvent", goes: "AcceptEvent", sig: []string{"PVOID SocketContext", "ULONG Flags", "PSOCKADDR LocalAddress", "PSOCKADDR RemoteAddress",
		"PWSK_SOCKET AcceptSocket", "PVOID *AcceptSocketContext", "const WSK_CLIENT_CONNECTION_DISPATCH **AcceptSocketDispatch"}},
	{c: "WskInspectEvent", goes: "InspectEvent", gave: "WSK_INSPECT_ACTION",
		sig: []string{"PVOID SocketContext", "PSOCKADDR LocalAddress", "PSOCKADDR RemoteAddress", "PWSK_INSPECT_ID InspectID"}},
	{c: "WskAbortEvent", goes: "AbortEvent", sig: []string{"PVOID SocketContext", "PWSK_INSPECT_ID InspectID"}},
	{c: "WskReceiveEvent", goes: "ReceiveEvent", sig: []string{"PVOID SocketContext", "ULONG Flags", "PWSK_DATA_INDICATION DataIndication",
		"SIZE_T BytesIndicated", "SIZE_T *BytesAccepted"}},
	{c: "WskDisconnectEvent", goes: "DisconnectEvent", sig: []string{"PVOID SocketContext", "ULONG Flags"}},
	{c: "WskSendBacklogEvent", goes: "SendBacklogEvent", sig: []string{"PVOID SocketContext", "SIZE_T IdealBacklogSize"}},
	{c: "WskReceiveFromEvent", goes: "ReceiveFromEvent", sig: []string{"PVOID SocketContext", "ULONG Flags", "PWSK_DATAGRAM_INDICATION DataIndication"}},
	{c: "IO_COMPLETION_ROUTINE", goes: "irp.CompletionRoutine", sig: []string{"PDEVICE_OBJECT DeviceObject", "PIRP Irp", "PVOID Context"},
		note: "Returns nothing: on Windows it would always be STATUS_MORE_PROCESSING_REQUIRED."},
}

// referenceTypes pairs what the parameters are made of. It is never written to.
var referenceTypes = [][]string{
	{"`NTSTATUS`", "`ntstatus.Status`", "the same numbers; `Err` makes it an error"},
	{"`PIRP`", "`*irp.IRP`", "`irp.New` for IoAllocateIrp and IoSetCompletionRoutine, `Reuse`, `Cancel`, `Free`, `IoStatus`, `PendingReturned`"},
	{"`IO_STATUS_BLOCK`", "`irp.StatusBlock`", "where Information is a pointer to a new socket, it is `Object`"},
	{"`PWSK_SOCKET`", "the method's receiver", "one type for each category, whose methods are its table: a call that Windows has no slot for does not compile"},
	{"`PWSK_CLIENT`", "`*Client`", ""},
	{"`PVOID SocketContext`", "`any`", ""},
	{"`const VOID *Dispatch`", "`EventTable`", "a pointer to the table of the category, or nil"},
	{"`PSOCKADDR`", "`*SockAddr`", "one type for SOCKADDR_IN and SOCKADDR_IN6, the port in host order; `Bytes` is the binary form"},
	{"`PWSK_BUF`", "`*Buf`", "MDL, Offset, Length; `NewBuf` makes one over slices"},
	{"`PMDL`", "`*MDL`", "Next, and Data for address and byte count"},
	{"`PWSK_BUF_LIST`", "`*BufList`", ""},
	{"`SIZE_T` and `PVOID`", "`[]byte`", "size and buffer in one"},
	{"`PCMSGHDR` and its length", "`[]byte`", "laid out as on 64-bit Windows; `AppendControlMessage` makes one"},
	{"`PUNICODE_STRING`", "`string`", ""},
	{"`PADDRINFOEXW`", "`*AddrInfo`", "also the hints"},
	{"`PEPROCESS`, `PETHREAD`, `PSECURITY_DESCRIPTOR`", "no parameter", "they have no meaning here"},
}

// referenceDifferences is what differs from Windows, and the test that shows our side.
// It is never written to.
var referenceDifferences = [][]string{
	{"A call that succeeds", "completes inline or pends, as it comes out", "pends and completes later, unless `SetCompletionMode` says inline or random: callers forget the case that they do not see", "TestEveryCallInEveryMode"},
	{"A call that fails", "has completed the IRP, where the documents say so", "has completed the IRP in every case before it returns, on the caller's stack, also in the default mode: clients free it then", "TestEveryStatus"},
	{"A NULL IRP, or one that is in use", "undefined; the verifier's bug check", "STATUS_INVALID_PARAMETER, and nothing is touched", "TestIRPsThatCannotBeTaken"},
	{"A call on a closed socket", "use after free", "STATUS_FILE_FORCED_CLOSED", "TestZeroArguments"},
	{"A function of another category", "undefined", "does not compile", ""},
	{"Completion routines", "one for each stack location, return a status, invoked as their flags say", "one per IRP, return nothing, always invoked: every IRP is the client's own", "TestResultAndReuse"},
	{"IRQL", "DISPATCH_LEVEL or below, for most functions", "no call blocks, but CaptureProviderNPI with a wait and Deregister", ""},
	{"Routines and callbacks of a socket", "any thread; receive events one at a time", "one after the other on one goroutine, with no lock held", "TestStress"},
	{"Sent", "handed over and, it seems, acknowledged", "acknowledged by the peer, for WskSend, WskConnectEx and WskDisconnect", "TestSendCompletesWhenAcknowledged"},
	{"Order of completions", "not documented", "sends in the order of their calls, those of no bytes too; the close last", "TestOrderInEveryMode"},
	{"WskConnectEx's buffer", "locked until completion", "copied, so that a cancel gives it back at once; the rule for callers is the same", "TestConnectExCompletions"},
	{"A failed connect", "not documented", "the socket is bound as before and may connect again", "TestRefusedAndCancelled"},
	{"RST to a SYN", "tried again for about two seconds", "STATUS_CONNECTION_REFUSED at once", "TestRefusedAndCancelled"},
	{"Backlog of a listening socket", "not documented", "128 connections", "TestAccept"},
	{"TCP_NODELAY", "said not to be supported", "works; WSK_FLAG_NODELAY as well", "TestSendNoDelay"},
	{"A pended connection request", "no limit is documented", "gone after 75 s; 128 at a time, what comes beyond is dropped", "TestInspect"},
	{"The check of a security context at bind", "against the first socket's descriptor", "denied, as the default descriptor does", "TestSharing"},
	{"The network's addresses", "come and go", "stay as long as the network does: SIO_ADDRESS_LIST_CHANGE pends until it is cancelled or the socket ends", "TestAddressListChange"},
	{"Control messages that a datagram is sent with", "hop limit, source address, type of service, size of the pieces", "the hop limit; the others are STATUS_NOT_SUPPORTED, and the last is an option", "TestSendTo"},
	{"Raw sockets", "any protocol", "ICMP and ICMPv6: netstack hands raw endpoints nothing else", "TestRaw"},
	{"TCP_FASTOPEN on a socket", "the system's setting decides", "the stack's mode decides; the option asks for it", "TestConversation"},
	{"Keep-alive, retransmission, TIME_WAIT", "Windows' own", "netstack's, but keep-alive's defaults are Windows'", "TestOptions"},
	{"Owning process and thread, security descriptors", "decide about sharing an address", "do not exist: there are no such principals here", ""},
	{"TDI codes of WskControlClient", "choose a TDI transport", "accepted without effect: there is no TDI", "TestStaticEvents"},
	{"Name resolution", "the system's", "by the `Resolver` that the provider was given; without one, numbers alone", "TestGetAddressInfo"},
	{"GUIDs in buffers", "behind a pointer", "in place: there are no pointers in a []byte", "TestEventRefusals"},
	{"WskClientEvent", "a slot that nothing calls", "is not there", ""},
	{"Retained indications at a close", "forbidden", "freed", "TestStress"},
}
