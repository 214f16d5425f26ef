package wsk

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// policy is a row of the default policy table of RFC 6724 §2.1.
type policy struct {
	prefix            netip.Prefix
	precedence, label int
}

// policyTable has the rows, the longest prefix first. It is never written to.
var policyTable = [...]policy{
	{netip.MustParsePrefix("::1/128"), 50, 0},
	{netip.MustParsePrefix("::ffff:0:0/96"), 35, 4},
	{netip.MustParsePrefix("::/96"), 1, 3},
	{netip.MustParsePrefix("2001::/32"), 5, 5},
	{netip.MustParsePrefix("2002::/16"), 30, 2},
	{netip.MustParsePrefix("3ffe::/16"), 1, 12},
	{netip.MustParsePrefix("fec0::/10"), 1, 11},
	{netip.MustParsePrefix("fc00::/7"), 3, 13},
	{netip.MustParsePrefix("::/0"), 40, 1},
}

func policyOf(a netip.Addr) policy {
	a = netip.AddrFrom16(a.As16())
	for _, p := range policyTable {
		// Prefix.Contains keeps IPv4-mapped addresses apart, which have a row here.
		if p.prefix.Bits() <= commonBits(p.prefix.Addr(), a) {
			return p
		}
	}
	return policy{}
}

// commonBits is how many leading bits two addresses share, as IPv6 addresses.
func commonBits(a, b netip.Addr) int {
	x, y := a.As16(), b.As16()
	for i := range 128 {
		if bit := byte(0x80) >> (i % 8); x[i/8]&bit != y[i/8]&bit {
			return i
		}
	}
	return 128
}

// The scopes of RFC 6724 §3.1.
const (
	scopeLink   = 2
	scopeSite   = 5
	scopeGlobal = 14
)

func scopeOf(a netip.Addr) int {
	a = a.Unmap()
	switch {
	case a.Is6() && a.IsMulticast():
		return int(a.As16()[1] & 0x0f)
	case a.IsLinkLocalUnicast(), a.IsLoopback():
		return scopeLink
	case a.Is6() && commonBits(a, netip.MustParseAddr("fec0::")) >= 10:
		return scopeSite
	}
	return scopeGlobal
}

// sourceFor is the address of own that a packet to dst would have (RFC 6724 §5); ok is
// false if there is none of its family.
func sourceFor(dst netip.Addr, own []netip.Addr) (best netip.Addr, ok bool) {
	for _, a := range own {
		if a.Unmap().Is4() != dst.Unmap().Is4() {
			continue
		}
		if !ok || betterSource(a, best, dst) {
			best, ok = a, true
		}
	}
	return best, ok
}

// betterSource says whether a is a better source than b, by the rules 1, 2, 6 and 8; the
// others ask what an address here does not have.
func betterSource(a, b, dst netip.Addr) bool {
	if b.Unmap() == dst.Unmap() {
		return false
	}
	if a.Unmap() == dst.Unmap() {
		return true
	}
	if sa, sb, d := scopeOf(a), scopeOf(b), scopeOf(dst); sa != sb {
		if sa < sb {
			return sa >= d
		}
		return sb < d
	}
	label := policyOf(dst).label
	if la, lb := policyOf(a).label == label, policyOf(b).label == label; la != lb {
		return la
	}
	return commonBits(a, dst) > commonBits(b, dst)
}

// sortDestinations puts addresses into the order in which to try them (RFC 6724 §6), as
// seen from a host with the addresses own. Addresses that no rule tells apart keep their
// order.
func sortDestinations(list []SockAddr, own []netip.Addr) {
	slices.SortStableFunc(list, func(a, b SockAddr) int { return compareDestinations(a.addr(), b.addr(), own) })
}

func (s SockAddr) addr() netip.Addr { return s.AddrPort().Addr().WithZone("") }

// compareDestinations is negative if a comes first. The rules 3, 4 and 7 ask what an
// address here does not have; rule 9 is for IPv6 alone, as on Windows since 7.
func compareDestinations(a, b netip.Addr, own []netip.Addr) int {
	sa, oka := sourceFor(a, own)
	sb, okb := sourceFor(b, own)
	if oka != okb || !oka {
		return first(oka, okb) // rule 1
	}
	pa, pb := policyOf(a), policyOf(b)
	for _, rule := range []int{
		first(scopeOf(a) == scopeOf(sa), scopeOf(b) == scopeOf(sb)),           // rule 2
		first(pa.label == policyOf(sa).label, pb.label == policyOf(sb).label), // rule 5
		first(pa.precedence > pb.precedence, pb.precedence > pa.precedence),   // rule 6
		first(scopeOf(a) < scopeOf(b), scopeOf(b) < scopeOf(a)),               // rule 8
	} {
		if rule != 0 {
			return rule
		}
	}
	if a.Unmap().Is4() || b.Unmap().Is4() {
		return 0
	}
	return min(commonBits(b, sb), 64) - min(commonBits(a, sa), 64) // rule 9
}

// first is negative if only a is true, positive if only b is.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// sortAddresses is SIO_ADDRESS_LIST_SORT: a list in the form of SIO_ADDRESS_LIST_QUERY,
// of the socket's family, comes back in the order in which to try its addresses.
func (f *flow) sortAddresses(r *ioctlRequest) ntstatus.Status {
	list, ok := parseAddressList(r.input, f.family)
	if !ok {
		return f.fail(FaultAddress, ntstatus.InvalidParameter)
	}
	if status, work := f.allow(fnControl); !work {
		return status
	}
	own, status := f.client.provider.addresses()
	if status != ntstatus.Success {
		return status
	}
	sortDestinations(list, own)
	return r.answerList(f, list)
}

// parseAddressList reads what answerList writes.
func parseAddressList(b []byte, family uint16) (list []SockAddr, ok bool) {
	if len(b) < 4 {
		return nil, false
	}
	size := sockAddrSize4
	if family == AF_INET6 {
		size = sockAddrSize6
	}
	count, b := binary.LittleEndian.Uint32(b), b[4:]
	if uint64(count)*uint64(size) != uint64(len(b)) {
		return nil, false
	}
	for ; len(b) > 0; b = b[size:] {
		s, ok := parseSockAddr(b[:size])
		if !ok || s.Family != family {
			return nil, false
		}
		list = append(list, s)
	}
	return list, true
}

// answerList writes a count as u32 and the Bytes of each address, or tells the size that
// they need.
func (r *ioctlRequest) answerList(f *flow, list []SockAddr) ntstatus.Status {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(list)))
	for _, s := range list {
		b = append(b, s.Bytes()...)
	}
	if len(r.output) < len(b) {
		r.size = uint64(len(b))
		return f.fail(FaultOutput, ntstatus.BufferOverflow)
	}
	return r.answer(f, b)
}
