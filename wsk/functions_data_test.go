package wsk_test

import (
	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// This file is FUNCTIONS.md as data: every function, callback, option, ioctl and
// control code of WSK 1.0 through Windows 10 1703 and later, what becomes of it here, and
// the test that shows it. Nothing here is ever written to.

// dispatchTables are the provider's dispatch tables, in the order of their slots.
var dispatchTables = map[string][]string{
	"ProviderDispatch": {"Socket", "SocketConnect", "ControlClient", "GetAddressInfo", "FreeAddressInfo", "GetNameInfo"},
	"BasicSocket":      {"ControlSocket", "CloseSocket"},
	"ListenSocket":     {"ControlSocket", "CloseSocket", "Bind", "Accept", "InspectComplete", "GetLocalAddress"},
	"DatagramSocket":   {"ControlSocket", "CloseSocket", "Bind", "SendTo", "ReceiveFrom", "Release", "GetLocalAddress", "SendMessages"},
	"ConnectionSocket": {
		"ControlSocket", "CloseSocket", "Bind", "Connect", "GetLocalAddress", "GetRemoteAddress", "Send", "Receive", "Disconnect",
		"Release", "ConnectEx", "SendEx", "ReceiveEx",
	},
	"StreamSocket": {
		"ControlSocket", "CloseSocket", "Bind", "Accept", "Connect", "Listen", "Send", "Receive", "Disconnect", "Release",
		"GetLocalAddress", "GetRemoteAddress", "ConnectEx", "SendEx", "ReceiveEx",
	},
	"Registration": {"CaptureProviderNPI", "Deregister", "QueryProviderCharacteristics", "ReleaseProviderNPI"},
}

// aFunction is a function or callback. It works, or there is a reason why it is not here.
type aFunction struct{ name, test, why string }

var listedFunctions = []aFunction{
	{name: "WskRegister", test: "TestRegisterArguments"},
	{name: "WskCaptureProviderNPI", test: "TestCaptureWaits"},
	{name: "WskReleaseProviderNPI", test: "TestReleaseKeepsSockets"},
	{name: "WskQueryProviderCharacteristics", test: "TestVersions"},
	{name: "WskDeregister", test: "TestDeregisterWaits"},
	{name: "WskSocket", test: "TestSocketRefusals"},
	{name: "WskSocketConnect", test: "TestSocketConnect"},
	{name: "WskControlClient", test: "TestStaticEvents"},
	{name: "WskGetAddressInfo", test: "TestGetAddressInfo"},
	{name: "WskFreeAddressInfo", test: "TestGetAddressInfo"},
	{name: "WskGetNameInfo", test: "TestGetNameInfo"},
	{name: "WskControlSocket", test: "TestListedOptions"},
	{name: "WskCloseSocket", test: "TestCloseCompletesLast"},
	{name: "WskBind", test: "TestBind"},
	{name: "WskListen", test: "TestStreamListens"},
	{name: "WskAccept", test: "TestAccept"},
	{name: "WskInspectComplete", test: "TestInspectComplete"},
	{name: "WskConnect", test: "TestRefusedAndCancelled"},
	{name: "WskConnectEx", test: "TestConnectExCompletions"},
	{name: "WskGetLocalAddress", test: "TestBind"},
	{name: "WskGetRemoteAddress", test: "TestDualStack"},
	{name: "WskSend", test: "TestSendCompletesWhenAcknowledged"},
	{name: "WskReceive", test: "TestReceiveInOrder"},
	{name: "WskSendEx", test: "TestExtended"},
	{name: "WskReceiveEx", test: "TestExtended"},
	{name: "WskDisconnect", test: "TestGracefulDisconnect"},
	{name: "WskRelease (data)", test: "TestRetain"},
	{name: "WskSendTo", test: "TestSendTo"},
	{name: "WskSendMessages", test: "TestSendTo"},
	{name: "WskReceiveFrom", test: "TestReceiveFrom"},
	{name: "WskRelease (datagram)", test: "TestReceiveFromEvent"},
	{name: "WskAcceptEvent", test: "TestAcceptEvent"},
	{name: "WskInspectEvent", test: "TestInspect"},
	{name: "WskAbortEvent", test: "TestInspectGone"},
	{name: "WskReceiveEvent", test: "TestReceiveEvent"},
	{name: "WskDisconnectEvent", test: "TestDisconnectEvent"},
	{name: "WskSendBacklogEvent", test: "TestSendBacklog"},
	{name: "WskReceiveFromEvent", test: "TestReceiveFromEvent"},
	{name: "WskReceiveExEvent", test: "TestOptionRefusals", why: "SIO_WSK_SET_RECEIVE_EX_CALLBACK would enable it; see there"},
	{name: "WskClientEvent", test: "TestDispatchTables", why: "no event is defined, and Windows never calls it: WSK_CLIENT_DISPATCH has no such member here"},
}

// Kinds of sockets that an option is tried on.
const (
	atTCP       = "TCP"       // stream, IPv4
	atTCP6      = "TCP, IPv6" // stream, IPv6
	atListening = "listening"
	atUDP       = "UDP"
	atUDP6      = "UDP, IPv6"
)

// anOption is an option. One that is refused answers STATUS_NOT_SUPPORTED to get and set.
type anOption struct {
	name  string
	level uint32
	code  uint32
	on    string // where it works; "" where it is refused
	value uint32 // that is set; 0: it is read only
	why   string
	test  string // besides TestListedOptions
}

// Why options are refused.
const (
	noBlocking  = "no call waits, so there is nothing to limit"
	noUserMode  = "of user mode's functions"
	noUrgent    = "netstack has no urgent data"
	noWhole     = "netstack cuts what does not fit, whether or not that is allowed"
	noSuch      = "netstack has no such setting for one socket"
	noBacklog   = "the interface has no say in the backlog"
	noRaw       = "netstack builds the IP header"
	noSource    = "netstack joins groups for any source"
	noTold      = "netstack does not tell it with a datagram"
	noOthers    = "a network has one interface"
	noPrincipal = "there are no security descriptors here"
)

var listedOptions = []anOption{
	{name: "SO_WSK_SECURITY", level: wsk.SOL_SOCKET, code: wsk.SO_WSK_SECURITY, why: noPrincipal},
	{name: "SO_BROADCAST", level: wsk.SOL_SOCKET, code: wsk.SO_BROADCAST, on: atUDP, value: 1, test: "TestSendTo"},
	{name: "SO_CONDITIONAL_ACCEPT", level: wsk.SOL_SOCKET, code: wsk.SO_CONDITIONAL_ACCEPT, on: atListening, value: 1, test: "TestConditionalAccept"},
	{name: "SO_EXCLUSIVEADDRUSE", level: wsk.SOL_SOCKET, code: wsk.SO_EXCLUSIVEADDRUSE, on: atTCP, value: 1, test: "TestSharing"},
	{name: "SO_REUSEADDR", level: wsk.SOL_SOCKET, code: wsk.SO_REUSEADDR, on: atUDP, value: 1, test: "TestSharing"},
	{name: "SO_KEEPALIVE", level: wsk.SOL_SOCKET, code: wsk.SO_KEEPALIVE, on: atListening, value: 1, test: "TestOptions"},
	{name: "SO_RCVBUF", level: wsk.SOL_SOCKET, code: wsk.SO_RCVBUF, on: atTCP, value: 65536, test: "TestOptions"},
	{name: "SO_SNDBUF", level: wsk.SOL_SOCKET, code: wsk.SO_SNDBUF, on: atUDP, value: 65536, test: "TestOptions"},
	{name: "SO_TYPE", level: wsk.SOL_SOCKET, code: wsk.SO_TYPE, on: atTCP},
	{name: "SO_ACCEPTCONN", level: wsk.SOL_SOCKET, code: wsk.SO_ACCEPTCONN, on: atListening},
	{name: "SO_MAX_MSG_SIZE", level: wsk.SOL_SOCKET, code: wsk.SO_MAX_MSG_SIZE, on: atUDP6},
	{name: "SO_DEBUG", level: wsk.SOL_SOCKET, code: 0x1, why: noUserMode},
	{name: "SO_DONTROUTE", level: wsk.SOL_SOCKET, code: 0x10, why: noSuch},
	{name: "SO_USELOOPBACK", level: wsk.SOL_SOCKET, code: 0x40, why: noSuch},
	{name: "SO_LINGER", level: wsk.SOL_SOCKET, code: 0x80, why: "WskCloseSocket resets, WskDisconnect does not: there is nothing to choose"},
	{name: "SO_DONTLINGER", level: wsk.SOL_SOCKET, code: 0xFFFFFF7F, why: "as for SO_LINGER"},
	{name: "SO_OOBINLINE", level: wsk.SOL_SOCKET, code: 0x100, why: noUrgent},
	{name: "SO_SNDLOWAT", level: wsk.SOL_SOCKET, code: 0x1003, why: noBlocking},
	{name: "SO_RCVLOWAT", level: wsk.SOL_SOCKET, code: 0x1004, why: noBlocking},
	{name: "SO_SNDTIMEO", level: wsk.SOL_SOCKET, code: 0x1005, why: noBlocking},
	{name: "SO_RCVTIMEO", level: wsk.SOL_SOCKET, code: 0x1006, why: noBlocking},
	{name: "SO_ERROR", level: wsk.SOL_SOCKET, code: 0x1007, why: noUserMode},
	{name: "SO_BSP_STATE", level: wsk.SOL_SOCKET, code: 0x1009, why: noUserMode},
	{name: "SO_PAUSE_ACCEPT", level: wsk.SOL_SOCKET, code: 0x3003, why: noBacklog},
	{name: "SO_COMPARTMENT_ID", level: wsk.SOL_SOCKET, code: 0x3004, why: "there are no compartments"},
	{name: "SO_RANDOMIZE_PORT", level: wsk.SOL_SOCKET, code: 0x3005, why: "netstack always does"},
	{name: "SO_PORT_SCALABILITY", level: wsk.SOL_SOCKET, code: 0x3006, why: noSuch},
	{name: "SO_REUSE_UNICASTPORT", level: wsk.SOL_SOCKET, code: 0x3007, why: noSuch},
	{name: "SO_REUSE_MULTICASTPORT", level: wsk.SOL_SOCKET, code: 0x3008, why: noSuch},
	{name: "SO_CONNECT_TIME", level: wsk.SOL_SOCKET, code: 0x700C, why: noUserMode},
	{name: "SO_UPDATE_CONNECT_CONTEXT", level: wsk.SOL_SOCKET, code: 0x7010, why: noUserMode},

	{name: "TCP_NODELAY", level: wsk.IPPROTO_TCP, code: wsk.TCP_NODELAY, on: atTCP, value: 1, test: "TestOptions"},
	{name: "TCP_EXPEDITED_1122", level: wsk.IPPROTO_TCP, code: 2, why: noUrgent},
	{name: "TCP_KEEPALIVE, TCP_KEEPIDLE", level: wsk.IPPROTO_TCP, code: wsk.TCP_KEEPIDLE, on: atTCP, value: 60, test: "TestOptions"},
	{name: "TCP_MAXSEG", level: wsk.IPPROTO_TCP, code: wsk.TCP_MAXSEG, on: atTCP, value: 1000, test: "TestOptions"},
	{name: "TCP_MAXRT", level: wsk.IPPROTO_TCP, code: wsk.TCP_MAXRT, on: atTCP, value: 20, why: "1 to 32767 seconds; -1, for ever, is STATUS_INVALID_PARAMETER: netstack gives up by itself", test: "TestRetransmitLimit"},
	{name: "TCP_STDURG", level: wsk.IPPROTO_TCP, code: 6, why: noUrgent},
	{name: "TCP_NOURG", level: wsk.IPPROTO_TCP, code: 7, why: noUrgent},
	{name: "TCP_ATMARK", level: wsk.IPPROTO_TCP, code: 8, why: noUrgent},
	{name: "TCP_NOSYNRETRIES", level: wsk.IPPROTO_TCP, code: 9, why: "netstack repeats a SYN once at the least; TCP_MAXRT limits a connect"},
	{name: "TCP_TIMESTAMPS", level: wsk.IPPROTO_TCP, code: 10, why: noSuch},
	{name: "TCP_OFFLOAD_PREFERENCE", level: wsk.IPPROTO_TCP, code: 11, why: "no device takes connections over"},
	{name: "TCP_CONGESTION_ALGORITHM", level: wsk.IPPROTO_TCP, code: 12, why: "the stack's configuration has it"},
	{name: "TCP_DELAY_FIN_ACK", level: wsk.IPPROTO_TCP, code: 13, why: noSuch},
	{name: "TCP_MAXRTMS", level: wsk.IPPROTO_TCP, code: wsk.TCP_MAXRTMS, on: atTCP, value: 1500, test: "TestRetransmitLimit"},
	{name: "TCP_FASTOPEN", level: wsk.IPPROTO_TCP, code: wsk.TCP_FASTOPEN, on: atListening, value: 1, test: "TestListenFastOpen"},
	{name: "TCP_KEEPCNT", level: wsk.IPPROTO_TCP, code: wsk.TCP_KEEPCNT, on: atTCP, value: 5, test: "TestOptions"},
	{name: "TCP_KEEPINTVL", level: wsk.IPPROTO_TCP, code: wsk.TCP_KEEPINTVL, on: atTCP, value: 5, test: "TestOptions"},
	{name: "TCP_FAIL_CONNECT_ON_ICMP_ERROR", level: wsk.IPPROTO_TCP, code: 18, why: noSuch},
	{name: "TCP_ICMP_ERROR_INFO", level: wsk.IPPROTO_TCP, code: 19, why: noSuch},
	{name: "TCP_BSDURGENT", level: wsk.IPPROTO_TCP, code: 0x7000, why: noUrgent},

	{name: "UDP_NOCHECKSUM", level: wsk.IPPROTO_UDP, code: wsk.UDP_NOCHECKSUM, on: atUDP, value: 1, test: "TestHeaders"},
	{name: "UDP_SEND_MSG_SIZE", level: wsk.IPPROTO_UDP, code: wsk.UDP_SEND_MSG_SIZE, on: atUDP, value: 1000, test: "TestMessageSize"},
	{name: "UDP_RECV_MAX_COALESCED_SIZE", level: wsk.IPPROTO_UDP, code: 3, why: "netstack puts no datagrams together"},
	{name: "UDP_CHECKSUM_COVERAGE", level: wsk.IPPROTO_UDP, code: 20, why: "of UDP-Lite, which netstack does not have"},

	{name: "IP_OPTIONS", level: wsk.IPPROTO_IP, code: 1, why: noRaw},
	{name: "IP_HDRINCL", level: wsk.IPPROTO_IP, code: 2, why: noRaw},
	{name: "IP_TOS", level: wsk.IPPROTO_IP, code: wsk.IP_TOS, on: atTCP, value: 32, test: "TestHeaders"},
	{name: "IP_TTL", level: wsk.IPPROTO_IP, code: wsk.IP_TTL, on: atUDP, value: 9, test: "TestHeaders"},
	{name: "IP_MULTICAST_IF", level: wsk.IPPROTO_IP, code: wsk.IP_MULTICAST_IF, on: atUDP, value: 0x01000000, test: "TestOneInterface"},
	{name: "IP_MULTICAST_TTL", level: wsk.IPPROTO_IP, code: wsk.IP_MULTICAST_TTL, on: atUDP, value: 9, test: "TestHeaders"},
	{name: "IP_MULTICAST_LOOP", level: wsk.IPPROTO_IP, code: wsk.IP_MULTICAST_LOOP, on: atUDP, value: 1, test: "TestHeaders"},
	{name: "IP_DONTFRAGMENT", level: wsk.IPPROTO_IP, code: 14, why: noWhole},
	{name: "IP_ADD_SOURCE_MEMBERSHIP", level: wsk.IPPROTO_IP, code: 15, why: noSource},
	{name: "IP_DROP_SOURCE_MEMBERSHIP", level: wsk.IPPROTO_IP, code: 16, why: noSource},
	{name: "IP_BLOCK_SOURCE", level: wsk.IPPROTO_IP, code: 17, why: noSource},
	{name: "IP_UNBLOCK_SOURCE", level: wsk.IPPROTO_IP, code: 18, why: noSource},
	{name: "IP_PKTINFO", level: wsk.IPPROTO_IP, code: wsk.IP_PKTINFO, on: atUDP, value: 1, test: "TestDatagrams"},
	{name: "IP_HOPLIMIT, IP_RECVTTL", level: wsk.IPPROTO_IP, code: wsk.IP_HOPLIMIT, on: atUDP, value: 1, test: "TestDatagrams"},
	{name: "IP_RECEIVE_BROADCAST", level: wsk.IPPROTO_IP, code: 22, why: noSuch},
	{name: "IP_RECVIF", level: wsk.IPPROTO_IP, code: 24, why: "IP_PKTINFO tells it"},
	{name: "IP_RECVDSTADDR", level: wsk.IPPROTO_IP, code: 25, why: "IP_PKTINFO tells it"},
	{name: "IP_IFLIST", level: wsk.IPPROTO_IP, code: 28, why: noOthers},
	{name: "IP_ADD_IFLIST", level: wsk.IPPROTO_IP, code: 29, why: noOthers},
	{name: "IP_DEL_IFLIST", level: wsk.IPPROTO_IP, code: 30, why: noOthers},
	{name: "IP_UNICAST_IF", level: wsk.IPPROTO_IP, code: wsk.IP_UNICAST_IF, on: atTCP, value: 0x01000000, test: "TestOneInterface"},
	{name: "IP_TCLASS", level: wsk.IPPROTO_IP, code: 39, why: "IP_TOS sets it"},
	{name: "IP_RECVTOS", level: wsk.IPPROTO_IP, code: wsk.IP_RECVTOS, on: atUDP, value: 1, test: "TestReceiveTraffic"},
	{name: "IP_ECN, IP_RECVECN", level: wsk.IPPROTO_IP, code: wsk.IP_RECVECN, on: atUDP, value: 1, test: "TestReceiveTraffic"},
	{name: "IP_MTU_DISCOVER", level: wsk.IPPROTO_IP, code: 71, why: noWhole},
	{name: "IP_MTU", level: wsk.IPPROTO_IP, code: 73, why: "netstack does not tell what it knows of a path"},
	{name: "IP_USER_MTU", level: wsk.IPPROTO_IP, code: 76, why: noSuch},

	{name: "IPV6_HOPOPTS", level: wsk.IPPROTO_IPV6, code: 1, why: noRaw},
	{name: "IPV6_HDRINCL", level: wsk.IPPROTO_IPV6, code: 2, why: noRaw},
	{name: "IPV6_UNICAST_HOPS", level: wsk.IPPROTO_IPV6, code: wsk.IPV6_UNICAST_HOPS, on: atTCP6, value: 9, test: "TestOptions"},
	{name: "IPV6_MULTICAST_IF", level: wsk.IPPROTO_IPV6, code: wsk.IPV6_MULTICAST_IF, on: atUDP6, value: 1, test: "TestOneInterface"},
	{name: "IPV6_MULTICAST_HOPS", level: wsk.IPPROTO_IPV6, code: wsk.IPV6_MULTICAST_HOPS, on: atUDP6, value: 9},
	{name: "IPV6_MULTICAST_LOOP", level: wsk.IPPROTO_IPV6, code: wsk.IPV6_MULTICAST_LOOP, on: atUDP6, value: 1},
	{name: "IPV6_DONTFRAG", level: wsk.IPPROTO_IPV6, code: 14, why: noWhole},
	{name: "IPV6_PKTINFO", level: wsk.IPPROTO_IPV6, code: wsk.IPV6_PKTINFO, on: atUDP6, value: 1, test: "TestDatagrams"},
	{name: "IPV6_HOPLIMIT", level: wsk.IPPROTO_IPV6, code: wsk.IPV6_HOPLIMIT, on: atUDP6, value: 1, test: "TestDatagrams"},
	{name: "IPV6_PROTECTION_LEVEL", level: wsk.IPPROTO_IPV6, code: 23, why: noSuch},
	{name: "IPV6_RECVIF", level: wsk.IPPROTO_IPV6, code: 24, why: "IPV6_PKTINFO tells it"},
	{name: "IPV6_CHECKSUM", level: wsk.IPPROTO_IPV6, code: 26, why: "that of ICMPv6 is always filled in"},
	{name: "IPV6_V6ONLY", level: wsk.IPPROTO_IPV6, code: wsk.IPV6_V6ONLY, on: atTCP6, value: 1, test: "TestDualStack"},
	{name: "IPV6_UNICAST_IF", level: wsk.IPPROTO_IPV6, code: wsk.IPV6_UNICAST_IF, on: atTCP6, value: 1, test: "TestOneInterface"},
	{name: "IPV6_RTHDR", level: wsk.IPPROTO_IPV6, code: 32, why: noRaw},
	{name: "IPV6_RECVRTHDR", level: wsk.IPPROTO_IPV6, code: 38, why: noTold},
	{name: "IPV6_TCLASS", level: wsk.IPPROTO_IPV6, code: wsk.IPV6_TCLASS, on: atTCP6, value: 32, test: "TestHeaders"},
	{name: "IPV6_RECVTCLASS", level: wsk.IPPROTO_IPV6, code: wsk.IPV6_RECVTCLASS, on: atUDP6, value: 1, test: "TestReceiveTraffic"},
	{name: "IPV6_RECVECN", level: wsk.IPPROTO_IPV6, code: wsk.IPV6_RECVECN, on: atUDP6, value: 1, test: "TestReceiveTraffic"},
	{name: "IPV6_PKTINFO_EX", level: wsk.IPPROTO_IPV6, code: 51, why: noOthers},
	{name: "IPV6_MTU_DISCOVER", level: wsk.IPPROTO_IPV6, code: 71, why: noWhole},
	{name: "IPV6_MTU", level: wsk.IPPROTO_IPV6, code: 72, why: "netstack does not tell what it knows of a path"},
	{name: "IPV6_RECVERR", level: wsk.IPPROTO_IPV6, code: 75, why: "the interface has no function that would bring the errors"},
	{name: "IPV6_USER_MTU", level: wsk.IPPROTO_IPV6, code: 76, why: noSuch},
}

// specialOptions are not set and got as numbers; each has its test.
var specialOptions = []anOption{
	{name: "SO_WSK_EVENT_CALLBACK", level: wsk.SOL_SOCKET, code: wsk.SO_WSK_EVENT_CALLBACK, on: "all but basic", test: "TestEventRefusals"},
	{name: "IP_ADD_MEMBERSHIP", level: wsk.IPPROTO_IP, code: wsk.IP_ADD_MEMBERSHIP, on: atUDP, test: "TestMembership"},
	{name: "IP_DROP_MEMBERSHIP", level: wsk.IPPROTO_IP, code: wsk.IP_DROP_MEMBERSHIP, on: atUDP, test: "TestMembership"},
	{name: "IPV6_ADD_MEMBERSHIP, IPV6_JOIN_GROUP", level: wsk.IPPROTO_IPV6, code: wsk.IPV6_ADD_MEMBERSHIP, on: atUDP6, test: "TestMembership"},
	{name: "IPV6_DROP_MEMBERSHIP, IPV6_LEAVE_GROUP", level: wsk.IPPROTO_IPV6, code: wsk.IPV6_DROP_MEMBERSHIP, on: atUDP6, test: "TestMembership"},
}

// anIoctl is an ioctl. Refused ones are tried by TestListedIoctls.
type anIoctl struct {
	name   string
	code   uint32
	bare   bool            // it comes without an IRP
	status ntstatus.Status // what it is refused with; 0: it works
	on     string          // the state in which TestListedIoctls tries it: "bound UDP" or "connected"; "" if only test does
	input  []byte
	why    string
	test   string // besides TestListedIoctls
}

var listedIoctls = []anIoctl{
	{name: "SIO_WSK_SET_REMOTE_ADDRESS", code: wsk.SIO_WSK_SET_REMOTE_ADDRESS, on: "bound UDP", input: server4.Bytes(), test: "TestSendTo"},
	{name: "SIO_WSK_REGISTER_EXTENSION", code: wsk.SIO_WSK_REGISTER_EXTENSION, bare: true, status: ntstatus.NotSupported, why: "no extension is defined"},
	{name: "SIO_WSK_QUERY_IDEAL_SEND_BACKLOG", code: wsk.SIO_WSK_QUERY_IDEAL_SEND_BACKLOG, on: "connected", test: "TestSendBacklog"},
	{name: "SIO_WSK_QUERY_RECEIVE_BACKLOG", code: wsk.SIO_WSK_QUERY_RECEIVE_BACKLOG, on: "connected", test: "TestSendBacklog"},
	{name: "SIO_WSK_QUERY_INSPECT_ID", code: wsk.SIO_WSK_QUERY_INSPECT_ID, bare: true, test: "TestQueryInspectID"},
	{name: "SIO_WSK_SET_SENDTO_ADDRESS", code: wsk.SIO_WSK_SET_SENDTO_ADDRESS, on: "bound UDP", input: server4.Bytes(), test: "TestSendTo"},
	{name: "SIO_WSK_SET_TCP_SILENT_MODE", code: wsk.SIO_WSK_SET_TCP_SILENT_MODE, test: "TestSilentMode"},
	{name: "SIO_ADDRESS_LIST_QUERY", code: wsk.SIO_ADDRESS_LIST_QUERY, bare: true, on: "connected", test: "TestAddressList"},
	{name: "SIO_ADDRESS_LIST_CHANGE", code: wsk.SIO_ADDRESS_LIST_CHANGE, test: "TestAddressListChange", why: "pends until it is cancelled or the socket ends: a network keeps its addresses"},
	{name: "SIO_ADDRESS_LIST_SORT", code: wsk.SIO_ADDRESS_LIST_SORT, on: "connected", input: append([]byte{1, 0, 0, 0}, server4.Bytes()...), test: "TestAddressListSort"},
	{name: "SIO_KEEPALIVE_VALS", code: wsk.SIO_KEEPALIVE_VALS, on: "connected", input: []byte{1, 0, 0, 0, 16, 39, 0, 0, 232, 3, 0, 0}, test: "TestKeepAliveValues"},
	{name: "SIO_UDP_CONNRESET", code: 0x9800000C, status: ntstatus.NotSupported, why: "netstack reports ICMP errors to connected endpoints alone, and these are not"},
	{name: "SIO_LOOPBACK_FAST_PATH", code: wsk.SIO_LOOPBACK_FAST_PATH, status: ntstatus.NotSupported, input: []byte{1, 0, 0, 0}, why: "deprecated; STATUS_INVALID_BUFFER_SIZE for less than 4 bytes"},
	{name: "SIO_TCP_INITIAL_RTO", code: 0x98000011, status: ntstatus.NotSupported, why: "netstack's first time-out of a SYN is fixed"},
	{name: "SIO_TCP_INFO", code: 0xD8000027, status: ntstatus.NotSupported, why: "netstack does not tell the most of its 19 values, and what is missing could not be told from a 0"},
	{name: "SIO_QUERY_RSS_SCALABILITY_INFO", code: 0x580000D2, status: ntstatus.NotSupported, why: "there is no RSS; clients tolerate it"},
	{name: "SIO_QUERY_WFP_CONNECTION_REDIRECT_RECORDS", code: wsk.SIO_QUERY_WFP_CONNECTION_REDIRECT_RECORDS, status: ntstatus.NotFound, why: "nothing redirects connections"},
	{name: "SIO_QUERY_WFP_CONNECTION_REDIRECT_CONTEXT", code: wsk.SIO_QUERY_WFP_CONNECTION_REDIRECT_CONTEXT, status: ntstatus.NotFound, why: "nothing redirects connections"},
	{name: "SIO_SET_WFP_CONNECTION_REDIRECT_RECORDS", code: 0x980000DE, status: ntstatus.NotSupported, why: "nothing redirects connections"},
	{name: "SIO_IDEAL_SEND_BACKLOG_QUERY", code: 0x4004747B, status: ntstatus.NotSupported, why: noUserMode},
	{name: "FIONREAD", code: 0x4004667F, status: ntstatus.NotSupported, why: noUserMode},
	{name: "FIONBIO", code: 0x8004667E, status: ntstatus.NotSupported, why: noUserMode},
	{name: "SIOCATMARK", code: 0x40047307, status: ntstatus.NotSupported, why: noUserMode},
}

// aCode is a code of WskControlClient.
type aCode struct {
	name   string
	code   uint32
	status ntstatus.Status // of a call without an IRP and with room for the answer
	input  []byte
	why    string
	test   string // besides TestListedCodes
}

var listedCodes = []aCode{
	{name: "WSK_TRANSPORT_LIST_QUERY", code: wsk.TransportListQuery, test: "TestTransportList"},
	{name: "WSK_TRANSPORT_LIST_CHANGE", code: wsk.TransportListChange, status: ntstatus.InvalidParameter, why: "works; it needs an IRP", test: "TestTransportList"},
	{name: "WSK_CACHE_SD", code: wsk.CacheSD, status: ntstatus.NotSupported, why: noPrincipal},
	{name: "WSK_RELEASE_SD", code: wsk.ReleaseSD, status: ntstatus.NotSupported, why: noPrincipal},
	{name: "WSK_TDI_DEVICENAME_MAPPING", code: wsk.TDIDeviceNameMapping, why: "without effect: there is no TDI"},
	{name: "WSK_SET_STATIC_EVENT_CALLBACKS", code: wsk.SetStaticEventCallbacks,
		input: wsk.EventCallbackControl{NpiID: wsk.NPI_WSK_INTERFACE_ID(), EventMask: wsk.EventReceive}.Bytes(), test: "TestStaticEvents"},
	{name: "WSK_TDI_BEHAVIOR", code: wsk.TDIBehavior, why: "without effect: there is no TDI"},
	{name: "an unknown code", code: 99, status: ntstatus.NotSupported},
}
