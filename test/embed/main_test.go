package embed

import (
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gvisor.dev/gvisor/pkg/tcpip/link/pipe"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/stack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for an event before it says that it never came.
const patience = time.Minute

// stacks makes two stacks on a pipe, client and server at 10.0.0.2. wrap may put
// something between the client and the pipe.
func stacks(t *testing.T, wrap func(gstack.LinkEndpoint) gstack.LinkEndpoint) (client, server *stack.Stack) {
	t.Helper()
	var left, right gstack.LinkEndpoint = pipe.New("", "", 1500)
	if wrap != nil {
		left = wrap(left)
	}
	return onLink(t, left, "10.0.0.1/24"), onLink(t, right, "10.0.0.2/24")
}

func onLink(t *testing.T, link gstack.LinkEndpoint, address ...string) *stack.Stack {
	t.Helper()
	cfg := stack.Config{Link: link}
	for _, a := range address {
		cfg.Addresses = append(cfg.Addresses, netip.MustParsePrefix(a))
	}
	s, err := stack.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
