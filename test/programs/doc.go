// Package programs has no code of its own: its tests run programs that know
// nothing of this stack against it, over a TUN in a namespace that they make.
//
//	curl --tcp-fastopen ─ kernel's TCP ─ TUN ─ iolink ─ fastopen ─ netstack ─ net/http
//	nginx, fastopen=N  ── kernel's TCP ─ TUN ─ iolink ─ fastopen ─ netstack ─ DialTCPData
//
// The judges are the kernel's own Fast Open counters and what the programs got.
//
// They need root, or a user namespace with /dev/net/tun, and the programs; a test
// whose program is not there is skipped. It is started by its test, inside the
// namespace, keeps its files in a temporary directory, and is gone with the test.
package programs
