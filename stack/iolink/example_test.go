package iolink_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/iolink"
)

// Packets without a device: each stack has a pipe, and the program carries what comes
// out of one to the other. It could as well put them into another tunnel. An end is read
// and written by one packet a call, and ends when its stack is closed.
func ExamplePipe() {
	var ends [2]*iolink.PipeEnd
	var stacks [2]*stack.Stack
	for i, address := range []string{"10.0.0.1/24", "10.0.0.2/24"} {
		dev, end := iolink.Pipe(1500, 256)
		link, err := iolink.New(dev, iolink.Config{}) // fastopen.New takes it too
		if err != nil {
			panic(err)
		}
		s, err := stack.New(stack.Config{Link: link, Addresses: []netip.Prefix{netip.MustParsePrefix(address)}})
		if err != nil {
			panic(err)
		}
		ends[i], stacks[i] = end, s
	}
	var carriers sync.WaitGroup
	carry := func(from, to *iolink.PipeEnd) {
		buf := make([]byte, 1500)
		for {
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	carriers.Go(func() { carry(ends[0], ends[1]) })
	carriers.Go(func() { carry(ends[1], ends[0]) })

	pong, err := stacks[1].Ping(context.Background(), "10.0.0.1")
	fmt.Println(pong.From, err)
	for _, s := range stacks {
		s.Close()
	}
	carriers.Wait()
	// Output: 10.0.0.1 <nil>
}
