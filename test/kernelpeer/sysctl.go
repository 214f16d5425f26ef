package kernelpeer

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/wskstack/wskstack/test/netns"
)

// EnableFastOpen switches Fast Open on in a namespace, client and server
// (net.ipv4.tcp_fastopen = 3, for IPv6 too). A listener still has to ask for it:
// [ServerConfig.FastOpen].
func EnableFastOpen(ns *netns.Namespace) error {
	return ns.SetSysctl("net.ipv4.tcp_fastopen", "3")
}

// Key is a cookie key of the kernel, as TCP_FASTOPEN_KEY takes it: 16 raw bytes.
type Key [16]byte

// SetKeys sets the cookie keys of a namespace, for all listeners without a key
// of their own: the primary key makes and checks cookies, backup keys (at most
// one) only check them. Sockets that listen already are concerned too.
func SetKeys(ns *netns.Namespace, primary Key, backup ...Key) error {
	text := []string{primary.String()}
	for _, k := range backup {
		text = append(text, k.String())
	}
	return ns.SetSysctl("net.ipv4.tcp_fastopen_key", strings.Join(text, ","))
}

// String is the kernel's text form: four groups of eight hexadecimal digits,
// each a little-endian number.
func (k Key) String() string {
	group := func(i int) uint32 { return binary.LittleEndian.Uint32(k[4*i:]) }
	return fmt.Sprintf("%08x-%08x-%08x-%08x", group(0), group(1), group(2), group(3))
}
