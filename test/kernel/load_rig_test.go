package kernel

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/test/flows"
	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/test/netns/netnstest"
	"github.com/wskstack/wskstack/tun"
)

// A loaded is a stack right on a TUN, without a relay between: what the device does
// under load is what is tested.
type loaded struct {
	t     *testing.T
	ctx   context.Context
	ns    *netns.Namespace
	dev   *tun.Device
	link  *iolink.Link
	stack *stack.Stack
	log   *logbook
}

// logbook is a log that is written from many goroutines.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// says is how many lines have the words.
func (l *logbook) says(words string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), words)
}

// Addresses of both ends of a loaded's TUN.
var (
	loadedKernel = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8:77::1/64")}
	loadedStack  = []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("2001:db8:77::2/64")}
)

// at is the address of a family.
func at(prefixes []netip.Prefix, family int) netip.Addr {
	return prefixes[(family-4)/2].Addr()
}

// newLoaded opens a TUN named load0. wrap may put something between it and the link;
// nil: nothing.
func newLoaded(t *testing.T, cfg tun.Config, wrap func(iolink.Device) iolink.Device) *loaded {
	t.Helper()
	l := &loaded{t: t, ns: netnstest.New(t), log: new(logbook)}
	check(t, l.ns.SetSysctl("net.ipv6.conf.all.keep_addr_on_down", "1"))
	logger := slog.New(slog.NewTextHandler(l.log, nil))
	cfg.Name, cfg.Addresses, cfg.Namespace, cfg.Logger = "load0", loadedKernel, l.ns.Path(), logger
	var err error
	l.dev, err = tun.Open(cfg)
	if errors.Is(err, tun.ErrNoDevice) || errors.Is(err, tun.ErrNoPrivilege) {
		err = netns.Withheld(err)
	}
	netnstest.Require(t, err)
	var dev iolink.Device = l.dev
	if wrap != nil {
		dev = wrap(dev)
	}
	l.link, err = iolink.New(dev, iolink.Config{Logger: logger})
	check(t, err)
	l.stack, err = stack.New(stack.Config{Link: l.link, Addresses: loadedStack})
	check(t, err)
	t.Cleanup(func() { check(t, l.stack.Close()) })
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	t.Cleanup(cancel)
	l.ctx = ctx
	return l
}

// load starts flows, which end with the test.
func (l *loaded) load(family, n, size int) *flows.Load {
	l.t.Helper()
	load, err := flows.Start(l.ctx, flows.Config{
		Stack: l.stack, Namespace: l.ns, StackAddr: at(loadedStack, family), KernelAddr: at(loadedKernel, family), Flows: n, Bytes: size,
	})
	check(l.t, err)
	l.t.Cleanup(load.Close)
	return load
}

// complete waits for the end of all flows, at which nothing may be missing.
func (l *loaded) complete(load *flows.Load) {
	l.t.Helper()
	ended := make(chan []error, 1)
	go func() { ended <- load.Wait() }()
	select {
	case errs := <-ended:
		for i, err := range errs {
			if err != nil {
				l.t.Errorf("flow %d: %v", i, err)
			}
		}
	case <-l.ctx.Done():
		l.t.Fatalf("the flows do not end: %+v, %+v", l.link.Stats(), l.dev.Stats())
	}
}

// each runs a test over both families.
func each(t *testing.T, f func(t *testing.T, family int)) {
	t.Helper()
	for _, family := range []int{4, 6} {
		t.Run(map[int]string{4: "IPv4", 6: "IPv6"}[family], func(t *testing.T) { f(t, family) })
	}
}
