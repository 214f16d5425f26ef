package netcat

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/fastopen/tfo"
)

// Defaults and limits of ListenOptions.
const (
	DefaultIdle           = 10 * time.Minute
	DefaultMaxConnections = 256
	DefaultBacklog        = stack.DefaultBacklog
	DefaultPending        = tfo.DefaultPending
	// MaxQueue is the most that Backlog and Pending can be.
	MaxQueue = 65535
	// UntilStopped is the Repeat of a listener without an end.
	UntilStopped = 0
)

// Service is what a listener does with its connections.
type Service uint8

// The services.
const (
	// Stdio sends the input and writes what comes to the output.
	Stdio Service = iota
	// Echo sends back what comes.
	Echo
	// Exec runs a command for each connection.
	Exec
	// HTTP serves files.
	HTTP
)

// ListenOptions are what the user chose of a listener.
type ListenOptions struct {
	Place
	// Address is [HOST]:PORT, or a port alone.
	Address string
	Service Service
	// Command is what Exec runs, with /bin/sh.
	Command string
	// Dir is what HTTP serves.
	Dir string
	// FastOpen accepts data in SYNs.
	FastOpen bool
	// Keys make and check the cookies, if there are any; otherwise fresh ones do.
	Keys *fastopen.Keys
	// Pending is how many connections may be open without their client's ACK.
	Pending int
	// Backlog is how many may wait to be served, MaxConnections how many are
	// served at a time; with Stdio it is one.
	Backlog, MaxConnections int
	// Repeat is how many connections are served; UntilStopped: there is no end.
	Repeat int
	// Idle ends a connection on which nothing has moved for so long; 0: never.
	Idle time.Duration
}

// Check says which option cannot be.
func (o ListenOptions) Check() error {
	switch {
	case o.Repeat < 0 || o.Repeat > MaxRepeat:
		return usage("--repeat %d: use 1 to %d, or 0 to go on until stopped", o.Repeat, MaxRepeat)
	case o.MaxConnections < 1:
		return usage("--max-connections %d: at least 1 has to be served", o.MaxConnections)
	case o.Backlog < 1 || o.Backlog > MaxQueue:
		return usage("--backlog %d: use 1 to %d", o.Backlog, MaxQueue)
	case o.Pending < 1 || o.Pending > MaxQueue:
		return usage("--fast-open-pending %d: use 1 to %d, or --fast-open=false", o.Pending, MaxQueue)
	case o.Idle < 0:
		return usage("--idle %v: it must not be negative; 0 is no limit", o.Idle)
	case o.Service == Exec && strings.TrimSpace(o.Command) == "":
		return usage("--exec: the command is empty")
	case o.Service == HTTP:
		if err := checkDir(o.Dir); err != nil {
			return err
		}
	}
	return o.Place.check()
}

// fastOpen is what of the options is the Fast Open layer's.
func (o ListenOptions) fastOpen() fastopen.ListenConfig {
	return fastopen.ListenConfig{MaxPending: o.Pending, Disabled: !o.FastOpen}
}

// checkDir says whether a directory can be served.
func checkDir(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case dir == "":
		return usage("--http: the directory is missing; write . for this one")
	case os.IsPermission(err):
		return err
	case err != nil:
		return unavailable("--http: the directory cannot be served (%v): give one that is there", err)
	case !info.IsDir():
		return usage("--http: %s is a file: give the directory that it is in", dir)
	}
	return nil
}

// where is what an address to listen on means.
type where struct {
	// addr is the stack's address; invalid: one that is looked for.
	addr netip.Addr
	port uint16
	// v4 and v6 are the families.
	v4, v6 bool
}

// resolveListen finds out what an address to listen on means. Without a host, and
// with [::], it is both families, unless one is asked for.
func resolveListen(ctx context.Context, o ListenOptions) (where, error) {
	address := o.Address
	if !strings.Contains(address, ":") {
		address = ":" + address
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil || service == "" {
		return where{}, usage("%q is not [HOST]:PORT: write :7777, 10.9.0.2:80 or [fd00::2]:http; port 0 is a free one", o.Address)
	}
	port, err := lookupPort(ctx, service)
	if err != nil {
		return where{}, usage("%q is no TCP port: use a number from 0 to 65535 or a service's name", service)
	}
	w := where{port: port}
	if host != "" {
		if w.addr, err = lookup(ctx, host, o.Family); err != nil {
			return where{}, err
		}
		if fault := notOurs(w.addr); fault != "" {
			return where{}, usage("%v, %s", w.addr, fault)
		}
	}
	switch {
	case w.addr == netip.IPv4Unspecified():
		w.addr, w.v4 = netip.Addr{}, true
	case w.addr.IsValid() && !w.addr.IsUnspecified():
		w.v4, w.v6 = w.addr.Is4(), w.addr.Is6()
	case o.Link.IsValid() && o.Family == 0:
		w.addr, w.v4, w.v6 = netip.Addr{}, o.Link.Addr().Is4(), o.Link.Addr().Is6()
	default:
		w.addr, w.v4, w.v6 = netip.Addr{}, o.Family != 6, o.Family != 4
	}
	return w, nil
}

// notOurs says why an address cannot be that of this program's stack; it is empty
// for all others.
func notOurs(a netip.Addr) string {
	const instead = ": leave HOST out, or give an address that no host has"
	switch {
	case a.IsLoopback():
		return "a loopback address, which never leaves the kernel, and this program's stack is outside of it" + instead
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "the broadcast address" + instead
	case a.IsMulticast():
		return "a multicast address" + instead
	case a.Zone() != "", a.Is6() && a.IsLinkLocalUnicast():
		return "an address of one link, which this program's stack is not on" + instead
	}
	return ""
}
