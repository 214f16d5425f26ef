package tune

import (
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// TestHangs counts how many transfers of 64 KiB hang for ever with RACK and without
// it, which is why it is off (D-07). It fails if one hangs without.
func TestHangs(t *testing.T) {
	const ms = time.Millisecond
	rack := tcpip.TCPRACKLossDetection
	on := setting{name: "RACK", options: []tcpip.SettableTransportProtocolOption{&rack}}
	for _, l := range []link{
		{rtt: 40 * ms, loss: 0.01, jitter: 5 * ms},
		{rtt: 40 * ms, loss: 0.05},
		{rtt: 40 * ms, loss: 0.1},
		{rtt: 40 * ms, loss: 0.05, reorder: 0.05, by: 15 * ms, duplicate: 0.03, corrupt: 0.02, jitter: 5 * ms},
	} {
		with, without := 0, 0
		for seed := range *hangs {
			if transfer(t, uint64(seed), l, on, 64<<10).hung {
				with++
			}
			if transfer(t, uint64(seed), l, setting{name: "defaults"}, 64<<10).hung {
				without++
			}
		}
		t.Logf("%v: %d of %d hang with RACK, %d without", l, with, *hangs, without)
		if without > 0 {
			t.Errorf("%v: %d of %d transfers hang with the defaults", l, without, *hangs)
		}
	}
}
