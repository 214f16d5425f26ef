package tuntest_test

import (
	"fmt"

	"github.com/wskstack/wskstack/stack/iolink/frame"
	"github.com/wskstack/wskstack/tun/tuntest"
)

// What is written to one device of a pair is read from the other. With iolink.New a
// stack stands on each; see the examples of package stack.
func ExampleNewPair() {
	a, b := tuntest.NewPair(tuntest.Config{})
	defer a.Close()
	defer b.Close()

	packet := make([]byte, 28) // IPv4, no more than its header says
	packet[0], packet[3], packet[8] = 0x45, byte(len(packet)), 64
	if _, err := a.Write(0, []frame.Packet{{Views: [][]byte{packet}, Size: len(packet)}}); err != nil {
		panic(err)
	}

	batch := []frame.Packet{{Views: [][]byte{make([]byte, b.MTU())}}}
	n, err := b.Read(0, batch)
	fmt.Println(n, "packet of", batch[0].Size, "bytes,", err)
	// Output: 1 packet of 28 bytes, <nil>
}
