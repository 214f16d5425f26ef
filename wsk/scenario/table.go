package scenario

import "github.com/wskstack/wskstack/wsk"

// shape is what a key's value looks like.
type shape uint8

const (
	shapeText    shape = iota // any text
	shapeName                 // letters, digits, '-': what scenarios call things
	shapeCount                // a number from 0 on, decimal or 0x...
	shapeBool                 // true or false
	shapeTime                 // 10ms, 2s
	shapeChance               // a probability from 0 to 1
	shapeHex                  // bytes in hexadecimal
	shapeStatus               // an NTSTATUS: STATUS_SUCCESS, success, 0xC0000120
	shapeFlags                // names of the verb's flags joined by '|', or a number
	shapeNames                // a list of names
	shapeTexts                // a list of texts
	shapeAnswers              // event: list of answers
	shapeHosts                // name: list of addresses
	shapeMap                  // keys of its own
	shapeSteps                // the list of steps
)

// what a shape is in the documentation.
var shapeTable = [...]string{
	shapeText: "text", shapeName: "name", shapeCount: "number", shapeBool: "true or false", shapeTime: "time", shapeChance: "0 to 1",
	shapeHex: "hex", shapeStatus: "status", shapeFlags: "flags", shapeNames: "list of names", shapeTexts: "list of texts",
	shapeAnswers: "answers by event", shapeHosts: "addresses by name", shapeMap: "keys", shapeSteps: "list of steps",
}

// key is one key of a mapping.
type key struct {
	name  string
	shape shape
	one   []string // if set, the value is one of these
	text  string   // for the documentation
}

// The keys of a scenario.
var topTable = [...]key{
	{name: "name", shape: shapeName, text: "what it is called on the command line"},
	{name: "title", shape: shapeText, text: "one line that says what it shows"},
	{name: "text", shape: shapeText, text: "why, and what to look at"},
	{name: "peer", shape: shapeMap, text: "the other end; see below"},
	{name: "knobs", shape: shapeMap, text: "how WSK behaves; see below. The command line goes before"},
	{name: "names", shape: shapeHosts, text: "what WskGetAddressInfo knows; the address `peer` is the peer's"},
	{name: "reports", shape: shapeNames, text: "the verifier's rules that it has to report, and no others; without it, none"},
	{name: "sweep", shape: shapeText, one: []string{"low-resources"}, text: "run it again and again, the first allocation failing in the first run, the second in the second, until one has none to fail"},
	{name: "limit", shape: shapeTime, text: "how long all of it may take; 1m unless given, 1h at the most"},
	{name: "steps", shape: shapeSteps, text: "what happens, in order"},
}

// The keys of peer.
var peerTable = [...]key{
	{name: "service", shape: shapeText, one: []string{"none", "echo", "sink"}, text: "what its TCP and UDP port does by itself: nothing until a step says so (the default), send back, or read"},
	{name: "fast-open", shape: shapeBool, text: "whether it grants Fast Open cookies; true unless given"},
	{name: "delay", shape: shapeTime, text: "one way, of a simulated peer; 10ms unless given"},
	{name: "loss", shape: shapeChance, text: "of each packet, of a simulated peer"},
}

// The keys of knobs.
var knobTable = [...]key{
	{name: "completion", shape: shapeText, one: []string{"later", "inline", "random"}, text: "when requests complete that can be done at once: later (the default), before the call returns, or either by the seed"},
	{name: "seed", shape: shapeCount, text: "of everything random; 1 unless given"},
	{name: "verifier", shape: shapeText, one: []string{"report", "stop", "count", "off"}, text: "what becomes of a breach of the verifier's rules: it is reported (the default), reported and the scenario stopped, only counted, or not looked for"},
	{name: "fail-nth", shape: shapeCount, text: "the n-th request that needs resources fails with STATUS_INSUFFICIENT_RESOURCES; 0: none"},
	{name: "fail-sites", shape: shapeBool, text: "the first request of each kind fails so"},
	{name: "cancel-race", shape: shapeBool, text: "cancels and completions meet"},
	{name: "delay", shape: shapeBool, text: "goroutines wait where calls begin and requests complete"},
	{name: "short-io", shape: shapeBool, text: "less is moved at a time than could be"},
	{name: "fast-open-faults", shape: shapeBool, text: "connects go as if there were no cookie, or as if the peer had taken a part of the SYN's data"},
}

// The keys of expect, and which verbs have them stands in verbTable.
var expectTable = [...]key{
	{name: "status", shape: shapeStatus, text: "how the request ended; STATUS_SUCCESS unless given"},
	{name: "information", shape: shapeCount, text: "the status block's Information"},
	{name: "pended", shape: shapeBool, text: "whether the call returned STATUS_PENDING. Looked at only in the completion mode of the scenario itself"},
	{name: "data", shape: shapeText, text: "the bytes received"},
	{name: "size", shape: shapeCount, text: "the number of bytes received, which are those of a `size` that was sent"},
	{name: "in-syn", shape: shapeCount, text: "how many bytes rode in the SYN of the newest connection"},
	{name: "in-syn-accepted", shape: shapeCount, text: "how many of those the peer took"},
	{name: "address", shape: shapeText, text: "an address, as under remote"},
	{name: "addresses", shape: shapeTexts, text: "the addresses found, in order"},
	{name: "node", shape: shapeText, text: "the name found"},
	{name: "value", shape: shapeCount, text: "an option's value"},
	{name: "truncated", shape: shapeBool, text: "whether a datagram was cut (MSG_TRUNC)"},
	{name: "abortive", shape: shapeBool, text: "whether a disconnect event was one of a reset"},
}

// The keys of steps.
var stepTable = [...]key{
	{name: "do", shape: shapeText, text: "the verb"},
	{name: "note", shape: shapeText, text: "goes into the time line"},
	{name: "expect", shape: shapeMap, text: "what has to come out; see below"},
	{name: "irp", shape: shapeName, text: "the IRP's name: a new IRP, or one that a step before has named, as it is"},
	{name: "async", shape: shapeBool, text: "go on without waiting for the request, or for the peer's connect"},
	{name: "limit", shape: shapeTime, text: "how long to wait; then the request is cancelled, and has STATUS_TIMEOUT. 10s unless given"},
	{name: "socket", shape: shapeName, text: "a socket's name"},
	{name: "as", shape: shapeName, text: "a name for what the step makes"},
	{name: "category", shape: shapeText, one: []string{"basic", "listen", "connection", "datagram", "stream"}, text: "the socket's category"},
	{name: "family", shape: shapeText, one: []string{"4", "6"}, text: "another address family than the run's"},
	{name: "on", shape: shapeAnswers, text: "event callbacks and what they answer, in turn, the last for ever; see below"},
	{name: "accepted", shape: shapeName, text: "a name for sockets that the accept event brings; the second is NAME-2"},
	{name: "accepted-on", shape: shapeAnswers, text: "the callbacks of sockets that are accepted"},
	{name: "local", shape: shapeText, text: "an address; the wildcard and any port unless given"},
	{name: "remote", shape: shapeText, text: "`peer` is the peer's service, `closed` a port of the peer's on which nothing listens, `nowhere` an address that nobody answers for; a name that a step gave; or ADDRESS:PORT"},
	{name: "flags", shape: shapeFlags, text: "the call's flags"},
	{name: "data", shape: shapeText, text: "bytes to send, as text"},
	{name: "hex", shape: shapeHex, text: "bytes to send"},
	{name: "size", shape: shapeCount, text: "how many bytes to receive; of what is sent, a pattern of so many bytes"},
	{name: "list", shape: shapeTexts, text: "datagrams"},
	{name: "length", shape: shapeCount, text: "the Length of the WSK_BUF where it is not that of the memory"},
	{name: "offset", shape: shapeCount, text: "the Offset of the WSK_BUF, 0 unless given"},
	{name: "null-irp", shape: shapeBool, text: "call with a NULL IRP"},
	{name: "option", shape: shapeText, text: "a socket option by its name, or LEVEL:CODE"},
	{name: "value", shape: shapeCount, text: "an option's value"},
	{name: "code", shape: shapeText, text: "an ioctl's name or number"},
	{name: "events", shape: shapeNames, text: "accept, receive, disconnect, send-backlog, receive-from"},
	{name: "event", shape: shapeText, one: []string{"accept", "receive", "disconnect", "send-backlog", "receive-from", "inspect", "abort"}, text: "an event callback"},
	{name: "count", shape: shapeCount, text: "how many elements; all unless given"},
	{name: "action", shape: shapeText, one: []string{"accept", "reject", "pend"}, text: "what to do with a connection request"},
	{name: "node", shape: shapeText, text: "a host's name"},
	{name: "service", shape: shapeText, text: "a service's name or number"},
	{name: "time", shape: shapeTime, text: "how long"},
	{name: "again", shape: shapeBool, text: "give back once more what was given back last"},
	{name: "conn", shape: shapeName, text: "a connection of the peer's, the newest unless given"},
}

// verb is something that a step can do.
type verb struct {
	name     string
	function string // of WSK; empty: the scenario's own
	irp      bool   // it hands an IRP in
	peer     bool   // it plays the peer's part
	required string // keys, besides do
	optional string // keys, besides those that every verb of its kind has
	expects  string // keys of expect, besides those that every verb of its kind has
	flags    map[string]uint32
	text     string
}

// irpKeys are those of every verb that hands an IRP in.
const (
	irpKeys    = "irp async limit null-irp"
	irpExpects = "status information pended"
	allKeys    = "note"
)

// The verbs, in the order of the documentation.
var verbTable = [...]verb{
	{name: "socket", function: "WskSocket", irp: true, required: "as category", optional: "family on accepted accepted-on flags", text: "make a socket"},
	{name: "socket-connect", function: "WskSocketConnect", irp: true, required: "as remote", optional: "local on flags", expects: "in-syn", text: "make a connection socket, bind it, connect it"},
	{name: "bind", function: "WskBind", irp: true, required: "socket", optional: "local flags", text: "set the local address; a listening socket listens from then on"},
	{name: "listen", function: "WskListen", irp: true, required: "socket", text: "make a bound stream socket listen"},
	{name: "accept", function: "WskAccept", irp: true, required: "socket as", optional: "on flags", text: "take the next connection"},
	{name: "connect", function: "WskConnect", irp: true, required: "socket remote", optional: "flags", expects: "in-syn", text: "connect"},
	{name: "connect-ex", function: "WskConnectEx", irp: true, required: "socket remote", optional: "data hex size length offset flags", expects: "in-syn in-syn-accepted", text: "connect, and send first bytes"},
	{name: "send", function: "WskSend", irp: true, required: "socket", optional: "data hex size length offset flags", flags: map[string]uint32{"nodelay": wsk.FlagNoDelay, "oob": wsk.FlagOOB}, text: "send"},
	{name: "receive", function: "WskReceive", irp: true, required: "socket size", optional: "length offset flags", expects: "data size", flags: map[string]uint32{"waitall": wsk.FlagWaitAll, "drain": wsk.FlagDrain}, text: "receive"},
	{name: "disconnect", function: "WskDisconnect", irp: true, required: "socket", optional: "data hex size length offset flags", flags: map[string]uint32{"abortive": wsk.FlagAbortive}, text: "end the connection, after last bytes or at once"},
	{name: "release", function: "WskRelease", required: "socket", optional: "count again", expects: "status", text: "give back what callbacks have retained, the oldest first"},
	{name: "send-to", function: "WskSendTo", irp: true, required: "socket", optional: "remote data hex size length offset flags", text: "send a datagram"},
	{name: "send-messages", function: "WskSendMessages", irp: true, required: "socket list", optional: "remote flags", text: "send datagrams"},
	{name: "receive-from", function: "WskReceiveFrom", irp: true, required: "socket size", optional: "length offset flags", expects: "data size address truncated", text: "receive a datagram"},
	{name: "get-local-address", function: "WskGetLocalAddress", irp: true, required: "socket", optional: "as", expects: "address", text: "ask for the local address"},
	{name: "get-remote-address", function: "WskGetRemoteAddress", irp: true, required: "socket", optional: "as", expects: "address", text: "ask for the peer's address"},
	{name: "set-option", function: "WskControlSocket", irp: true, required: "socket option value", text: "set an option"},
	{name: "get-option", function: "WskControlSocket", irp: true, required: "socket option", expects: "value", text: "read an option"},
	{name: "ioctl", function: "WskControlSocket", irp: true, required: "socket code", optional: "remote hex size", expects: "value", text: "an ioctl; its input is an address (remote) or bytes, its output of size bytes a number"},
	{name: "enable", function: "WskControlSocket", required: "socket events", expects: "status", text: "enable event callbacks, without an IRP"},
	{name: "disable", function: "WskControlSocket", irp: true, required: "socket events", text: "disable an event callback"},
	{name: "static-events", function: "WskControlClient", required: "events", expects: "status", text: "switch event callbacks on for every socket to come"},
	{name: "get-address-info", function: "WskGetAddressInfo", irp: true, required: "node", optional: "service as", expects: "addresses", text: "find a host's addresses"},
	{name: "get-name-info", function: "WskGetNameInfo", irp: true, required: "remote", expects: "node", text: "find an address' name"},
	{name: "inspect-complete", function: "WskInspectComplete", irp: true, required: "socket action", text: "decide about the connection request that was pended last"},
	{name: "close", function: "WskCloseSocket", irp: true, required: "socket", text: "close a socket"},
	{name: "stop-provider", text: "withdraw the provider: every socket is dead from now on"},

	{name: "await", function: "KeWaitForSingleObject", required: "irp", optional: "limit", expects: "status information data size address value node addresses truncated in-syn in-syn-accepted", text: "wait for a request that was started with async; as expect, what its own verb has"},
	{name: "cancel", function: "IoCancelIrp", required: "irp", text: "cancel a request, without waiting"},
	{name: "reuse", function: "IoReuseIrp", required: "irp", expects: "status", text: "make an IRP ready for its next use"},
	{name: "free", function: "IoFreeIrp", required: "irp", expects: "status", text: "give an IRP up"},
	{name: "deregister", function: "WskDeregister", optional: "limit", text: "end the registration with what is left open, and give up when the limit is over"},
	{name: "scribble", required: "irp", text: "write into the memory of a request; on a simulated peer only, where no two things happen at once"},
	{name: "pause", required: "time", text: "let time pass"},
	{name: "expect-event", required: "socket event", optional: "limit", expects: "data size abortive", text: "wait for the next call of an event callback"},
	{name: "expect-no-event", required: "socket event", text: "a call of an event callback that no step has expected is a failure"},

	{name: "peer-accept", peer: true, optional: "as limit", text: "the peer takes a connection; with another service than none it does by itself"},
	{name: "peer-connect", peer: true, required: "socket as", optional: "limit async", text: "the peer connects to a listening socket"},
	{name: "peer-connected", peer: true, required: "conn", optional: "limit", expects: "status", text: "wait for a peer-connect that was started with async; it is refused with STATUS_CONNECTION_REFUSED"},
	{name: "peer-send", peer: true, optional: "conn data hex size limit", text: "the peer sends"},
	{name: "peer-receive", peer: true, optional: "conn limit", expects: "data size", text: "the peer receives as much as is expected"},
	{name: "peer-fin", peer: true, optional: "conn", text: "the peer ends its direction"},
	{name: "peer-reset", peer: true, optional: "conn", text: "the peer resets the connection"},
	{name: "peer-send-to", peer: true, required: "socket", optional: "data hex size", text: "the peer sends a datagram to a socket"},
	{name: "peer-receive-from", peer: true, optional: "limit", expects: "data size", text: "the peer receives a datagram"},
}

// answerTable is what callbacks may answer.
var answerTable = map[string]string{
	"take":   "STATUS_SUCCESS, WskInspectAccept of inspect; `take 3` says that 3 bytes were accepted, whatever was indicated",
	"retain": "STATUS_PENDING: receive and receive-from only; release gives it back",
	"refuse": "STATUS_DATA_NOT_ACCEPTED, STATUS_REQUEST_NOT_ACCEPTED of accept, WskInspectReject of inspect",
	"pend":   "WskInspectPend: inspect only; inspect-complete decides",
}

// eventTable has the events' masks.
var eventTable = map[string]uint32{
	"accept": wsk.EventAccept, "receive": wsk.EventReceive, "disconnect": wsk.EventDisconnect,
	"send-backlog": wsk.EventSendBacklog, "receive-from": wsk.EventReceiveFrom,
	"inspect": 0, "abort": 0, // on if SO_CONDITIONAL_ACCEPT is
}

// categoryTable has the categories' parameters of WskSocket.
var categoryTable = map[string]struct {
	socketType      uint16
	protocol, flags uint32
}{
	"basic":      {wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagBasicSocket},
	"listen":     {wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagListenSocket},
	"connection": {wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagConnectionSocket},
	"datagram":   {wsk.SOCK_DGRAM, wsk.IPPROTO_UDP, wsk.FlagDatagramSocket},
	"stream":     {wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagStreamSocket},
}

// optionTable has the options that scenarios know by name, as {level, code}.
var optionTable = map[string][2]uint32{
	"TCP_NODELAY": {wsk.IPPROTO_TCP, wsk.TCP_NODELAY}, "TCP_FASTOPEN": {wsk.IPPROTO_TCP, wsk.TCP_FASTOPEN},
	"TCP_MAXSEG": {wsk.IPPROTO_TCP, wsk.TCP_MAXSEG}, "TCP_KEEPIDLE": {wsk.IPPROTO_TCP, wsk.TCP_KEEPIDLE},
	"TCP_KEEPCNT": {wsk.IPPROTO_TCP, wsk.TCP_KEEPCNT}, "TCP_KEEPINTVL": {wsk.IPPROTO_TCP, wsk.TCP_KEEPINTVL},
	"SO_KEEPALIVE": {wsk.SOL_SOCKET, wsk.SO_KEEPALIVE}, "SO_RCVBUF": {wsk.SOL_SOCKET, wsk.SO_RCVBUF},
	"SO_SNDBUF": {wsk.SOL_SOCKET, wsk.SO_SNDBUF}, "SO_TYPE": {wsk.SOL_SOCKET, wsk.SO_TYPE},
	"SO_BROADCAST": {wsk.SOL_SOCKET, wsk.SO_BROADCAST}, "SO_CONDITIONAL_ACCEPT": {wsk.SOL_SOCKET, wsk.SO_CONDITIONAL_ACCEPT},
	"IPV6_V6ONLY": {wsk.IPPROTO_IPV6, wsk.IPV6_V6ONLY},
}

// ioctlTable has the ioctls that scenarios know by name.
var ioctlTable = map[string]uint32{
	"SIO_WSK_QUERY_IDEAL_SEND_BACKLOG": wsk.SIO_WSK_QUERY_IDEAL_SEND_BACKLOG,
	"SIO_WSK_QUERY_RECEIVE_BACKLOG":    wsk.SIO_WSK_QUERY_RECEIVE_BACKLOG,
	"SIO_WSK_SET_REMOTE_ADDRESS":       wsk.SIO_WSK_SET_REMOTE_ADDRESS,
	"SIO_WSK_SET_SENDTO_ADDRESS":       wsk.SIO_WSK_SET_SENDTO_ADDRESS,
}
