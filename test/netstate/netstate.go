// Package netstate writes down all that a program can leave behind in a network
// namespace, so that a test can compare before and after.
//
//	Take(ns) ──► links, addresses, routes of all tables, rules      (rtnetlink)
//	         ──► tables, chains and rules of the firewall           (nftables)
//	         ──► net.ipv4.conf, net.ipv6.conf, ip_forward           (/proc/sys)
//
// The text has one line for each thing, in an order that does not change. It asks
// the kernel itself and runs no other program. It owns nothing and keeps nothing.
package netstate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/test/netns"
)

// Take describes a namespace as it is now.
func Take(ns *netns.Namespace) (string, error) {
	var lines []string
	err := ns.Do(func() error {
		for _, part := range []func() ([]string, error){links, addresses, routes, rules, firewall, sysctls} {
			more, err := part()
			if err != nil {
				return err
			}
			slices.Sort(more)
			lines = append(lines, more...)
		}
		return nil
	})
	return strings.Join(lines, "\n") + "\n", err
}

func links() (lines []string, err error) {
	all, err := netlink.LinkList()
	for _, l := range all {
		a := l.Attrs()
		lines = append(lines, fmt.Sprintf("link %s %s flags %v mtu %d", a.Name, l.Type(), a.Flags, a.MTU))
	}
	return lines, err
}

func addresses() (lines []string, err error) {
	all, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	for _, a := range all {
		lines = append(lines, fmt.Sprintf("address %v on %d", a.IPNet, a.LinkIndex))
	}
	return lines, err
}

func routes() (lines []string, err error) {
	all, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	for _, r := range all {
		lines = append(lines, fmt.Sprintf("route %v", r))
	}
	return lines, err
}

func rules() (lines []string, err error) {
	all, err := netlink.RuleList(netlink.FAMILY_ALL)
	for _, r := range all {
		lines = append(lines, fmt.Sprintf("rule %v", r))
	}
	return lines, err
}

func firewall() (lines []string, err error) {
	c, err := nftables.New()
	if err != nil {
		return nil, err
	}
	tables, err := c.ListTables()
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		lines = append(lines, fmt.Sprintf("table %s of family %d", t.Name, t.Family))
	}
	chains, err := c.ListChains()
	if err != nil {
		return nil, err
	}
	for _, chain := range chains {
		lines = append(lines, fmt.Sprintf("chain %s of %s", chain.Name, chain.Table.Name))
		rules, err := c.GetRules(chain.Table, chain)
		if err != nil {
			return nil, err
		}
		for i, r := range rules {
			text := fmt.Sprintf("rule %d of chain %s of %s:", i, chain.Name, chain.Table.Name)
			for _, e := range r.Exprs {
				text += fmt.Sprintf(" %+v", e)
			}
			lines = append(lines, text)
		}
	}
	return lines, nil
}

func sysctls() (lines []string, err error) {
	for _, pattern := range []string{"net/ipv4/ip_forward", "net/ipv4/conf/*/*", "net/ipv6/conf/*/*"} {
		paths, err := filepath.Glob("/proc/sys/" + pattern)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			value, err := os.ReadFile(path)
			if errors.Is(err, os.ErrPermission) || errors.Is(err, unix.EIO) {
				continue // can be written only, or has no value yet
			}
			if err != nil {
				return nil, err
			}
			lines = append(lines, fmt.Sprintf("sysctl %s = %s", strings.TrimPrefix(path, "/proc/sys/"), strings.TrimSpace(string(value))))
		}
	}
	return lines, nil
}

// Diff lists the lines that only one of two descriptions has, with "-" for the
// first and "+" for the second; "" if there are none.
func Diff(before, after string) string {
	var out []string
	was, is := strings.Split(before, "\n"), strings.Split(after, "\n")
	for _, l := range was {
		if !slices.Contains(is, l) {
			out = append(out, "- "+l)
		}
	}
	for _, l := range is {
		if !slices.Contains(was, l) {
			out = append(out, "+ "+l)
		}
	}
	return strings.Join(out, "\n")
}
