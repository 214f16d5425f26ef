package demo

import (
	"fmt"
	"time"

	"github.com/wskstack/wskstack/test/wire"
)

// Auto lets the demo pick the best wire.
const Auto = "auto"

// userTUN is what wire.Wire's Name calls a TUN in a user namespace.
const userTUN = "userns-tun"

// The delay each way: below the least, what is measured is the machine and not
// the path; above the most, a round trip comes near TCP's first timeout of 1 s.
const (
	MinDelay     = 5 * time.Millisecond
	MaxDelay     = 400 * time.Millisecond
	DefaultDelay = 20 * time.Millisecond
)

// Options are what the user chose.
type Options struct {
	// Wire is Auto, "tun", "veth" or "memory". "userns-tun", which is how a
	// result may name its wire, means "tun": the privileges decide which it is.
	Wire string
	// Family is 4 or 6.
	Family int
	// Delay is the one-way delay, MinDelay to MaxDelay.
	Delay time.Duration
	// Pcap is the file for the capture; empty: none.
	Pcap string
}

// Check says which option cannot be.
func (o Options) Check() error {
	switch o.Wire {
	case Auto, string(wire.TUN), userTUN, string(wire.Veth), string(wire.Memory):
	default:
		return fmt.Errorf("there is no wire %q: use auto, tun, veth or memory", o.Wire)
	}
	if o.Family != 4 && o.Family != 6 {
		return fmt.Errorf("there is no address family %d: use 4 or 6", o.Family)
	}
	if o.Delay < MinDelay || o.Delay > MaxDelay {
		return fmt.Errorf("a delay of %v cannot be shown: use %v to %v (less measures the machine, more runs into TCP's timeout of 1 s)", o.Delay, MinDelay, MaxDelay)
	}
	return nil
}

// NeedsNamespace says whether the options ask for a wire to the kernel, which
// needs a namespace.
func (o Options) NeedsNamespace() bool { return o.Wire != string(wire.Memory) }
