package wsk

// Address families (ADDRESS_FAMILY). The values are Windows', not Linux'.
const (
	AF_UNSPEC uint16 = 0
	AF_INET   uint16 = 2
	AF_INET6  uint16 = 23
)

// Socket types.
const (
	SOCK_STREAM uint16 = 1
	SOCK_DGRAM  uint16 = 2
	SOCK_RAW    uint16 = 3
)

// Protocols of Socket, and levels of ControlSocket.
const (
	IPPROTO_IP     uint32 = 0
	IPPROTO_ICMP   uint32 = 1
	IPPROTO_TCP    uint32 = 6
	IPPROTO_UDP    uint32 = 17
	IPPROTO_IPV6   uint32 = 41
	IPPROTO_ICMPV6 uint32 = 58
	IPPROTO_RAW    uint32 = 255
	SOL_SOCKET     uint32 = 0xFFFF
)

// Categories: the Flags of Socket, exactly one.
const (
	FlagBasicSocket      uint32 = 0x0
	FlagListenSocket     uint32 = 0x1
	FlagConnectionSocket uint32 = 0x2
	FlagDatagramSocket   uint32 = 0x4
	FlagStreamSocket     uint32 = 0x8
)

// Flags of Send, Receive and Disconnect: the same numbers mean different things
// per function.
const (
	FlagOOB     uint32 = 0x1 // Send: urgent data; not supported
	FlagNoDelay uint32 = 0x2 // Send: send this and everything before it now, without Nagle's wait

	FlagWaitAll uint32 = 0x2 // Receive: complete when the buffer is full
	FlagDrain   uint32 = 0x4 // Receive: throw data away until the peer disconnects

	FlagAbortive uint32 = 0x1 // Disconnect: reset the connection; DisconnectEvent: it broke

	FlagReleaseASAP uint32 = 0x2 // ReceiveEvent: do not retain, or not for long
)

// Options at level SOL_SOCKET.
const (
	SO_ACCEPTCONN         uint32 = 0x0002 // read only
	SO_REUSEADDR          uint32 = 0x0004 // unlike that of other systems: see SO_EXCLUSIVEADDRUSE
	SO_EXCLUSIVEADDRUSE   uint32 = 0xFFFFFFFB
	SO_KEEPALIVE          uint32 = 0x0008
	SO_BROADCAST          uint32 = 0x0020
	SO_SNDBUF             uint32 = 0x1001
	SO_RCVBUF             uint32 = 0x1002
	SO_TYPE               uint32 = 0x1008
	SO_MAX_MSG_SIZE       uint32 = 0x2003 // read only; bytes
	SO_CONDITIONAL_ACCEPT uint32 = 0x3002
	SO_WSK_SECURITY       uint32 = 0x4001
	SO_WSK_EVENT_CALLBACK uint32 = 0x4002
)

// Event masks of EventCallbackControl.
const (
	EventSendBacklog uint32 = 0x00000010
	EventReceive     uint32 = 0x00000040
	EventDisconnect  uint32 = 0x00000080
	EventReceiveFrom uint32 = 0x00000100
	EventAccept      uint32 = 0x00000200
	EventDisable     uint32 = 0x80000000 // with exactly one of the others: disable it
)

// Options at level IPPROTO_TCP.
const (
	TCP_NODELAY   uint32 = 1
	TCP_KEEPALIVE uint32 = 3  // seconds; the same option as TCP_KEEPIDLE
	TCP_KEEPIDLE  uint32 = 3  // seconds
	TCP_MAXSEG    uint32 = 4  // bytes
	TCP_MAXRT     uint32 = 5  // seconds that a connect, or data, may go unanswered
	TCP_MAXRTMS   uint32 = 14 // the same in milliseconds
	TCP_FASTOPEN  uint32 = 15
	TCP_KEEPCNT   uint32 = 16
	TCP_KEEPINTVL uint32 = 17 // seconds
)

// Options at level IPPROTO_UDP.
const (
	UDP_NOCHECKSUM    uint32 = 1 // over IPv4 alone
	UDP_SEND_MSG_SIZE uint32 = 2 // bytes of each datagram that a longer buffer is cut into; 0: none is
)

// Options and control messages at level IPPROTO_IP. The index of an interface is in
// network order here.
const (
	IP_TOS             uint32 = 3 // the option, and the message that IP_RECVTOS asks for
	IP_TTL             uint32 = 4
	IP_MULTICAST_IF    uint32 = 9
	IP_MULTICAST_TTL   uint32 = 10
	IP_MULTICAST_LOOP  uint32 = 11
	IP_ADD_MEMBERSHIP  uint32 = 12 // an IP_MREQ: the group, then an address of the interface or 0
	IP_DROP_MEMBERSHIP uint32 = 13
	IP_PKTINFO         uint32 = 19
	IP_HOPLIMIT        uint32 = 21
	IP_UNICAST_IF      uint32 = 31
	IP_RECVTOS         uint32 = 40
	IP_ECN             uint32 = 50 // the message that IP_RECVECN asks for
	IP_RECVECN         uint32 = 50
)

// Options and control messages at level IPPROTO_IPV6.
const (
	IPV6_UNICAST_HOPS    uint32 = 4
	IPV6_MULTICAST_IF    uint32 = 9
	IPV6_MULTICAST_HOPS  uint32 = 10
	IPV6_MULTICAST_LOOP  uint32 = 11
	IPV6_ADD_MEMBERSHIP  uint32 = 12 // an IPV6_MREQ: the group, then the interface's index or 0
	IPV6_DROP_MEMBERSHIP uint32 = 13
	IPV6_PKTINFO         uint32 = 19
	IPV6_HOPLIMIT        uint32 = 21
	IPV6_V6ONLY          uint32 = 27
	IPV6_UNICAST_IF      uint32 = 31
	IPV6_TCLASS          uint32 = 39 // the option, and the message that IPV6_RECVTCLASS asks for
	IPV6_RECVTCLASS      uint32 = 40
	IPV6_ECN             uint32 = 50 // the message that IPV6_RECVECN asks for
	IPV6_RECVECN         uint32 = 50
)

// ControlType says what ControlSocket is to do (WSK_CONTROL_SOCKET_TYPE).
type ControlType uint32

// The kinds of control.
const (
	SetOption ControlType = 0
	GetOption ControlType = 1
	Ioctl     ControlType = 2
)

// Ioctl codes.
const (
	SIO_WSK_REGISTER_EXTENSION       uint32 = 0xCF000002 // always refused
	SIO_WSK_QUERY_IDEAL_SEND_BACKLOG uint32 = 0x4F000003
	SIO_WSK_QUERY_RECEIVE_BACKLOG    uint32 = 0x4F000004
	SIO_WSK_QUERY_INSPECT_ID         uint32 = 0x4F000005
	SIO_WSK_SET_REMOTE_ADDRESS       uint32 = 0x8F000001
	SIO_WSK_SET_SENDTO_ADDRESS       uint32 = 0x8F000006
	SIO_WSK_SET_TCP_SILENT_MODE      uint32 = 0x2F000007
	SIO_KEEPALIVE_VALS               uint32 = 0x98000004
	SIO_ADDRESS_LIST_QUERY           uint32 = 0x48000016
	SIO_ADDRESS_LIST_CHANGE          uint32 = 0x28000017
	SIO_ADDRESS_LIST_SORT            uint32 = 0xC8000019

	// Those that follow are always refused, with statuses of their own.

	SIO_LOOPBACK_FAST_PATH                    uint32 = 0x98000010
	SIO_QUERY_WFP_CONNECTION_REDIRECT_RECORDS uint32 = 0x980000DC
	SIO_QUERY_WFP_CONNECTION_REDIRECT_CONTEXT uint32 = 0x980000DD
)

// Codes of ControlClient.
const (
	TransportListQuery      uint32 = 2
	TransportListChange     uint32 = 3
	CacheSD                 uint32 = 4
	ReleaseSD               uint32 = 5
	TDIDeviceNameMapping    uint32 = 6
	SetStaticEventCallbacks uint32 = 7
	TDIBehavior             uint32 = 8
)

// Control flags of received datagrams.
const (
	MSG_TRUNC  uint32 = 0x100 // the buffer did not hold all of it
	MSG_CTRUNC uint32 = 0x200 // the control information did not fit
	MSG_BCAST  uint32 = 0x400 // it was a broadcast
	MSG_MCAST  uint32 = 0x800 // it was a multicast
)

// Waits of CaptureProviderNPI, in milliseconds.
const (
	NoWait       uint32 = 0
	InfiniteWait uint32 = 0xFFFFFFFF
)

// MaxConnectData is the most ConnectEx takes, in bytes.
const MaxConnectData = 65535
