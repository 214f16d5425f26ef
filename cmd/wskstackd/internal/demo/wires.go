package demo

import (
	"fmt"
	"strings"

	"github.com/wskstack/wskstack/test/wire"
)

// openWire opens the wire that was asked for, or the best one, and says why that
// one. barred is why no namespace could be made, nil if one was: then every wire
// to the kernel is out of reach.
//
// Packets have the size and the checksums that they have on a wire, since showing
// them is what the demo is for.
func openWire(kind string, barred error) (w *wire.Wire, why string, err error) {
	plain := wire.Config{NoOffload: true}
	if kind != Auto {
		if barred != nil && kind != string(wire.Memory) {
			return nil, "", barred
		}
		w, err := wire.Open(kindOf(kind), plain)
		return w, "as asked for with --wire", err
	}
	var passed []wire.Candidate
	if barred != nil {
		passed = []wire.Candidate{{Kind: wire.TUN, Err: barred}, {Kind: wire.Veth, Err: barred}}
		w, err = wire.Open(wire.Memory, plain)
	} else {
		w, passed, err = wire.OpenBest(plain)
	}
	if err != nil {
		return nil, "", err
	}
	return w, reasons(passed), nil
}

// kindOf is the kind of wire that the option's value means.
func kindOf(option string) wire.Kind {
	if option == userTUN {
		return wire.TUN
	}
	return wire.Kind(option)
}

// reasons says why better wires were passed over.
func reasons(passed []wire.Candidate) string {
	if len(passed) == 0 {
		return "the best there is"
	}
	var parts []string
	for i, c := range passed {
		text := why(c)
		if i > 0 && text == why(passed[i-1]) {
			text = "the same"
		}
		parts = append(parts, fmt.Sprintf("not %s: %s", c.Kind, text))
	}
	return strings.Join(parts, "; ")
}

// why says why a wire cannot be used, without the names of packages.
func why(c wire.Candidate) string {
	text := oneLine(c.Err)
	for _, prefix := range []string{"wire: ", string(c.Kind) + ": ", "netns: ", "tun: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return text
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// wireText is a wire in words.
func wireText(name string) string {
	switch name {
	case "tun":
		return "a TUN device in a network namespace of its own"
	case userTUN:
		return "a TUN device in a user namespace of its own"
	case "veth":
		return "a veth pair and a packet socket in a namespace of its own"
	}
	return "two stacks in this program's memory"
}
