package kernelpeer

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/wskstack/wskstack/test/netns"
)

// Counters are the kernel's Fast Open counters of one namespace (TcpExt in
// /proc/net/netstat). Two of them are compared with ==.
type Counters struct {
	// Active: a client's SYN data was acknowledged whole by the SYN-ACK.
	Active uint64 `json:"TCPFastOpenActive"`
	// ActiveFail: it was not, or the connection timed out three times.
	ActiveFail uint64 `json:"TCPFastOpenActiveFail"`
	// Passive: a server accepted a SYN's cookie and data.
	Passive uint64 `json:"TCPFastOpenPassive"`
	// PassiveFail: a server was shown a bad cookie.
	PassiveFail uint64 `json:"TCPFastOpenPassiveFail"`
	// ListenOverflow: a server had as many pending as its limit allows.
	ListenOverflow uint64 `json:"TCPFastOpenListenOverflow"`
	// CookieReqd: a server saw a cookie request.
	CookieReqd uint64 `json:"TCPFastOpenCookieReqd"`
	// Blackhole: a client gave Fast Open up for a while.
	Blackhole uint64 `json:"TCPFastOpenBlackhole"`
	// PassiveAltKey: a server accepted a cookie of its backup key.
	PassiveAltKey uint64 `json:"TCPFastOpenPassiveAltKey"`
}

// fields pairs each counter with the kernel's name for it.
func (c *Counters) fields() map[string]*uint64 {
	return map[string]*uint64{
		"TCPFastOpenActive":         &c.Active,
		"TCPFastOpenActiveFail":     &c.ActiveFail,
		"TCPFastOpenPassive":        &c.Passive,
		"TCPFastOpenPassiveFail":    &c.PassiveFail,
		"TCPFastOpenListenOverflow": &c.ListenOverflow,
		"TCPFastOpenCookieReqd":     &c.CookieReqd,
		"TCPFastOpenBlackhole":      &c.Blackhole,
		"TCPFastOpenPassiveAltKey":  &c.PassiveAltKey,
	}
}

// Since is how far the counters moved from an earlier reading.
func (c Counters) Since(earlier Counters) Counters {
	return Counters{
		Active:         c.Active - earlier.Active,
		ActiveFail:     c.ActiveFail - earlier.ActiveFail,
		Passive:        c.Passive - earlier.Passive,
		PassiveFail:    c.PassiveFail - earlier.PassiveFail,
		ListenOverflow: c.ListenOverflow - earlier.ListenOverflow,
		CookieReqd:     c.CookieReqd - earlier.CookieReqd,
		Blackhole:      c.Blackhole - earlier.Blackhole,
		PassiveAltKey:  c.PassiveAltKey - earlier.PassiveAltKey,
	}
}

// ReadCounters reads the counters of a namespace.
func ReadCounters(ns *netns.Namespace) (Counters, error) {
	all, err := ReadTCPExt(ns)
	if err != nil {
		return Counters{}, err
	}
	var c Counters
	for name, field := range c.fields() {
		*field = all[name]
	}
	return c, nil
}

// ReadTCPExt reads all TcpExt counters of a namespace by the kernel's names.
func ReadTCPExt(ns *netns.Namespace) (map[string]uint64, error) {
	var text []byte
	err := ns.Do(func() (err error) {
		// Not /proc/net: that is the namespace of the process's first thread.
		text, err = os.ReadFile("/proc/thread-self/net/netstat")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("kernelpeer: reading the kernel's counters: %w", err)
	}
	return parseNetstat(text, "TcpExt:")
}

// parseNetstat reads one group of /proc/net/netstat: a line of names and a line
// of values, both starting with the group's name.
func parseNetstat(text []byte, group string) (map[string]uint64, error) {
	var names []string
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, len(text)+1)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 0 || words[0] != group:
		case names == nil:
			names = words[1:]
		default:
			return pair(names, words[1:])
		}
	}
	return nil, fmt.Errorf("kernelpeer: no %s counters in /proc/net/netstat", group)
}

func pair(names, values []string) (map[string]uint64, error) {
	if len(names) != len(values) {
		return nil, fmt.Errorf("kernelpeer: %d names and %d values in /proc/net/netstat", len(names), len(values))
	}
	out := make(map[string]uint64, len(names))
	for i, name := range names {
		// A few counters are signed; as bits they are the same.
		if v, err := strconv.ParseUint(values[i], 10, 64); err == nil {
			out[name] = v
		} else if v, err := strconv.ParseInt(values[i], 10, 64); err == nil {
			out[name] = uint64(v)
		} else {
			return nil, fmt.Errorf("kernelpeer: counter %s: %w", name, err)
		}
	}
	return out, nil
}
