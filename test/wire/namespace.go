package wire

import (
	"fmt"

	"github.com/wskstack/wskstack/test/netns"
)

// prepare makes the wire's namespace quiet: addresses work at once and the
// kernel sends nothing of its own accord.
func (w *Wire) prepare() error {
	if err := w.Namespace.LinkUp("lo"); err != nil {
		return err
	}
	if _, err := w.Namespace.Sysctl("net.ipv6.conf.default.disable_ipv6"); err != nil {
		return nil //nolint:nilerr // a kernel without IPv6: the wire has IPv4
	}
	w.StackAddresses = append(w.StackAddresses, stack6)
	w.PeerAddresses = append(w.PeerAddresses, peer6)
	return setAll(w.Namespace, "net.ipv6.conf.default.", map[string]string{
		"disable_ipv6":         "0",
		"accept_dad":           "0", // an address is good at once (RFC 4862 §5.4)
		"accept_ra":            "0",
		"router_solicitations": "0",
		"addr_gen_mode":        "1", // no link-local address
	})
}

func setAll(ns *netns.Namespace, prefix string, values map[string]string) error {
	for name, value := range values {
		if err := ns.SetSysctl(prefix+name, value); err != nil {
			return fmt.Errorf("preparing the namespace: %w", err)
		}
	}
	return nil
}
