package daemon

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/fault"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/proxy"
)

// ParseListener reads ADDRESS:PORT[,wait=DURATION], as --listen has it.
func ParseListener(text string) (Listener, error) {
	place, wait, err := cutWait("--listen", text)
	if err != nil {
		return Listener{}, err
	}
	address, err := netip.ParseAddrPort(place)
	if err != nil {
		return Listener{}, fault.New(fault.ErrUsage, "--listen %q is not ADDRESS:PORT[,wait=DURATION]: write 127.0.0.1:1080 or [::1]:1080,wait=50ms", text)
	}
	return Listener{address, wait}, nil
}

// ParseForward reads LADDR=RADDR[,wait=DURATION], as --forward has it.
func ParseForward(text string) (Forward, error) {
	const form = "write 127.0.0.1:8080=192.0.2.1:80 or 127.0.0.1:8443=example.com:443,wait=50ms"
	pair, wait, err := cutWait("--forward", text)
	if err != nil {
		return Forward{}, err
	}
	from, to, ok := strings.Cut(pair, "=")
	if !ok {
		return Forward{}, fault.New(fault.ErrUsage, "--forward %q is not LADDR=RADDR: %s", text, form)
	}
	address, err := netip.ParseAddrPort(from)
	if err != nil {
		return Forward{}, fault.New(fault.ErrUsage, "--forward %q: %q is not an ADDRESS:PORT of this host: %s", text, from, form)
	}
	target, err := proxy.ParseTarget(to)
	if err != nil {
		return Forward{}, fault.New(fault.ErrUsage, "--forward %q: there is no peer at %q (%v): %s", text, to, err, form)
	}
	return Forward{Listener{address, wait}, target}, nil
}

// ParseExpose reads RADDR=LADDR, as --expose has it: [ADDRESS]:PORT of the stack
// and HOST:PORT as seen from this host.
func ParseExpose(text string) (Expose, error) {
	const form = "write :80=127.0.0.1:8080"
	from, to, ok := strings.Cut(text, "=")
	if !ok {
		return Expose{}, fault.New(fault.ErrUsage, "--expose %q is not RADDR=LADDR: %s", text, form)
	}
	var at netip.AddrPort
	var err error
	if digits, all := strings.CutPrefix(from, ":"); all {
		var port uint64
		port, err = strconv.ParseUint(digits, 10, 16)
		at = netip.AddrPortFrom(netip.Addr{}, uint16(port))
	} else {
		at, err = netip.ParseAddrPort(from)
	}
	if err != nil || at.Port() == 0 {
		return Expose{}, fault.New(fault.ErrUsage, "--expose %q: %q is not [ADDRESS]:PORT of the stack: %s", text, from, form)
	}
	target, err := proxy.ParseTarget(to)
	if err != nil {
		return Expose{}, fault.New(fault.ErrUsage, "--expose %q: there is no service at %q (%v): %s", text, to, err, form)
	}
	return Expose{at, target}, nil
}

// cutWait takes the wait off the end of a text.
func cutWait(flag, text string) (rest string, wait time.Duration, err error) {
	rest, value, ok := strings.Cut(text, ",wait=")
	if !ok {
		return text, DefaultWait, nil
	}
	wait, err = time.ParseDuration(value)
	if err != nil || wait < 0 || wait > MaxWait {
		return "", 0, fault.New(fault.ErrUsage, "%s %q: the wait for a client's first bytes is a duration from 0s to %v, as 20ms", flag, text, MaxWait)
	}
	return rest, wait, nil
}
