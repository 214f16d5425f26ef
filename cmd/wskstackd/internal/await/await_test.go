package await_test

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gvisor.dev/gvisor/pkg/refs"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/await"
	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/tun/tuntest"
)

// TestMain fails the run if a goroutine or a packet buffer is left.
func TestMain(m *testing.M) {
	refs.SetLeakMode(refs.LeaksPanic)
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if code == 0 {
			refs.DoLeakCheck()
		}
		os.Exit(code)
	}))
}

// limit is when something that hangs gives up; nothing is measured with it.
const limit = 20 * time.Second

var serverAt = netip.MustParseAddrPort("10.9.0.2:80")

// pair is two stacks in memory.
func pair(t *testing.T) (client, server *stack.Stack) {
	t.Helper()
	near, far := tuntest.NewPair(tuntest.Config{Queue: 1024})
	make := func(d iolink.Device, address string) *stack.Stack {
		l, err := iolink.New(d, iolink.Config{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := stack.New(stack.Config{Link: l, Addresses: []netip.Prefix{netip.MustParsePrefix(address)}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	return make(near, "10.9.0.1/24"), make(far, "10.9.0.2/24")
}

func endpoint(t *testing.T, s *stack.Stack) *stack.Endpoint {
	t.Helper()
	ep, err := s.NewEndpoint("tcp4")
	if err != nil {
		t.Fatal(err)
	}
	return ep
}

// listening is a server that accepts.
func listening(t *testing.T, s *stack.Stack) *await.Conn {
	t.Helper()
	ep := endpoint(t, s)
	if err := ep.Bind(serverAt); err != nil {
		t.Fatal(err)
	}
	if err := ep.Listen(1); err != nil {
		t.Fatal(err)
	}
	return await.New(ep)
}

func TestConversation(t *testing.T) {
	client, server := pair(t)
	l := listening(t, server)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	big := make([]byte, 1<<20) // more than the buffers hold: Write has to wait
	served := make(chan error, 1)
	go func() {
		c, err := l.Accept(ctx)
		if err != nil {
			served <- err
			return
		}
		n, err := io.Copy(io.Discard, c.Reader(ctx))
		if err == nil && n != int64(len(big)) {
			err = errors.New("bytes are missing")
		}
		if err == nil {
			_, err = c.Writer(ctx).Write([]byte("done"))
		}
		served <- errors.Join(err, c.Endpoint().Close())
	}()
	c := await.New(endpoint(t, client))
	if err := c.Connect(ctx, serverAt, stack.ConnectOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Write(ctx, big); err != nil {
		t.Fatal(err)
	}
	if err := c.Endpoint().CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c.Reader(ctx))
	if err != nil || string(got) != "done" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := c.Ended(ctx); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// Whoever waits is released by the end of the context, with its cause.
func TestContextEndsEveryWait(t *testing.T) {
	client, server := pair(t)
	l := listening(t, server)
	why := errors.New("enough")
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := l.Accept(ended); !errors.Is(err, why) {
		t.Errorf("Accept: %v", err)
	}
	nobody := await.New(endpoint(t, client))
	if err := nobody.Connect(ended, netip.MustParseAddrPort("10.9.0.3:80"), stack.ConnectOptions{}); !errors.Is(err, why) {
		t.Errorf("Connect: %v", err)
	}
	ctx, stop := context.WithTimeout(t.Context(), limit)
	defer stop()
	c := await.New(endpoint(t, client))
	if err := c.Connect(ctx, serverAt, stack.ConnectOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(ended, make([]byte, 1)); !errors.Is(err, why) {
		t.Errorf("Read: %v", err)
	}
	if err := c.Ended(ended); !errors.Is(err, why) {
		t.Errorf("Ended: %v", err)
	}
	// Nobody reads, so at some time nothing more is taken.
	if _, err := c.Writer(ended).Write(make([]byte, 64<<20)); !errors.Is(err, why) {
		t.Errorf("Write: %v", err)
	}
	c.Endpoint().Abort()
}

func TestReadAfterClose(t *testing.T) {
	client, _ := pair(t)
	c := await.New(endpoint(t, client))
	c.Endpoint().Abort()
	if _, err := c.Read(t.Context(), make([]byte, 1)); err == nil {
		t.Error("a closed connection was read")
	}
}
