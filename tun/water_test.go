package tun

import (
	"io"

	"github.com/songgao/water"
)

// waterAlone opens a device as a plain user of water does: the control of the
// tests that show what openWater cures.
func waterAlone(name string) (io.Closer, error) {
	return water.New(water.Config{
		DeviceType:             water.TUN,
		PlatformSpecificParams: water.PlatformSpecificParams{Name: name},
	})
}
