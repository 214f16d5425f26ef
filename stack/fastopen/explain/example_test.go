package explain_test

import (
	"bytes"
	"context"
	"fmt"

	"gvisor.dev/gvisor/pkg/tcpip/link/channel"

	"github.com/wskstack/wskstack/stack/capture"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/fastopen/explain"
)

// A program that has its own netstack puts a capture under the Fast Open layer, and joins
// the two. A stack.Stack has this already: CapturePcap.
func Example() {
	lower := channel.New(64, 1500, "") // or any other link endpoint
	var notes explain.Notes
	wire, err := capture.New(lower, nil, capture.Config{Comments: &notes})
	if err != nil {
		panic(err)
	}
	link, err := fastopen.New(wire, fastopen.Config{OnStep: notes.Step}) // give link to CreateNIC
	if err != nil {
		panic(err)
	}
	defer link.Close()

	var file bytes.Buffer
	ctx, stop := context.WithCancel(context.Background())
	wait, err := wire.Record(ctx, &file)
	if err != nil {
		panic(err)
	}
	// ... connections ...
	stop()
	fmt.Println(wait(), file.Len() > 0)
	// Output: <nil> true
}
