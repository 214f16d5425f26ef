package bench

import (
	"errors"
	"fmt"
	"time"
)

// Config describes the links of all subjects.
type Config struct {
	// MTU in bytes, 1280 to 65520; 0: 1500.
	MTU int
	// RTT is the delay of the link, there and back; 0: none. The kernel's subject is
	// then two TUN devices with the delay between them.
	RTT time.Duration
	// Congestion is the congestion control of the kernel's sockets, such as "cubic"; "":
	// what they have by default on this machine.
	Congestion string
	// Connections is how many a server serves at once; 0: 32.
	Connections int
}

// The MTU's limits and default, in bytes.
const (
	MinMTU     = 1280
	DefaultMTU = 1500
	MaxMTU     = 65520
)

const defaultConnections = 32

// ErrOptions is in the chain of an error about what was asked for.
var ErrOptions = errors.New("this cannot be measured")

// Check says what is wrong with the values.
func (c Config) Check() error {
	if c.MTU != 0 && (c.MTU < MinMTU || c.MTU > MaxMTU) {
		return fmt.Errorf("%w: an MTU of %d, %d to %d bytes are possible", ErrOptions, c.MTU, MinMTU, MaxMTU)
	}
	if c.RTT < 0 || c.Connections < 0 {
		return fmt.Errorf("%w: a delay and a number of connections must not be negative", ErrOptions)
	}
	return nil
}

// most is how many of a thing one measurement may have at once.
const most = 20_000

// checkCounts says which of the counts is none.
func checkCounts(what string, counts ...int) error {
	if len(counts) == 0 {
		return fmt.Errorf("%w: no %s are named", ErrOptions, what)
	}
	for _, n := range counts {
		if n < 1 || n > most {
			return fmt.Errorf("%w: %d %s, 1 to %d are possible", ErrOptions, n, what, most)
		}
	}
	return nil
}

// checkFor says that nothing can be measured in no time.
func checkFor(d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("%w: measurements of %v, more than 0 is needed", ErrOptions, d)
	}
	return nil
}

func (c Config) mtu() int {
	if c.MTU == 0 {
		return DefaultMTU
	}
	return c.MTU
}

func (c Config) threads() int {
	if c.Connections == 0 {
		return defaultConnections
	}
	return c.Connections
}
