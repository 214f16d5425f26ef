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

// Check says what is wrong with the values.
func (c Config) Check() error {
	if c.MTU != 0 && (c.MTU < MinMTU || c.MTU > MaxMTU) {
		return fmt.Errorf("MTU %d: %d to %d bytes are possible", c.MTU, MinMTU, MaxMTU)
	}
	if c.RTT < 0 || c.Connections < 0 {
		return errors.New("delay and connections must not be negative")
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
