package wire

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/tun/tuntest"
)

// memoryQueue is how many packets wait in each direction: more than a receive
// window of small segments, so that only a stack that stands still loses any.
const memoryQueue = 8192

// openMemory joins two links without the kernel.
func openMemory(cfg Config) (*Wire, error) {
	a, b := tuntest.NewPair(tuntest.Config{MTU: cfg.MTU, Queue: memoryQueue})
	near, err := iolink.New(a, cfg.Link)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("wire: memory: %w", err), a.Close(), b.Close())
	}
	far, err := iolink.New(b, cfg.Link)
	if err != nil {
		near.Close()
		return nil, errors.Join(fmt.Errorf("wire: memory: %w", err), b.Close())
	}
	return &Wire{
		Kind: Memory, MTU: cfg.MTU, Link: near, PeerLink: far,
		StackAddresses: []netip.Prefix{stack4, stack6}, PeerAddresses: []netip.Prefix{peer4, peer6},
	}, nil
}
