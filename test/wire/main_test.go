package wire_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
	"gvisor.dev/gvisor/pkg/refs"

	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/test/wire"
)

// roleEnv makes the test binary play a program that looks for its best wire,
// in namespaces of its own.
const roleEnv = "WIRE_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(roleEnv) != "" {
		os.Exit(play())
	}
	refs.SetLeakMode(refs.LeaksPanic)
	goleak.VerifyTestMain(leakCheck{m})
}

// leakCheck runs the tests and then looks for packet buffers nobody let go.
type leakCheck struct{ m *testing.M }

func (l leakCheck) Run() int {
	code := l.m.Run()
	if code == 0 {
		refs.DoLeakCheck()
	}
	return code
}

func play() int {
	if netns.InChild() == netns.NotChild {
		code, err := netns.Reexec(netns.Command{})
		if err != nil {
			fmt.Println("refused:", err)
		}
		return code
	}
	w, passedOver, err := wire.OpenBest(wire.Config{})
	for _, c := range passedOver {
		fmt.Printf("not %s: %v\n", c.Kind, c.Err)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer w.Close()
	fmt.Println("best:", w.Name())
	if w.Namespace == nil {
		return 0
	}
	if err := echo(w, 4, 100_000); err != nil {
		fmt.Println("echo:", err)
		return 1
	}
	fmt.Println("echo: good")
	return 0
}
