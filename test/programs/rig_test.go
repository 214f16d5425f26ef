package programs

import (
	"context"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/netns/netnstest"
	"github.com/wskstack/wskstack/test/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is when something that hangs gives up; nothing is measured with it.
const patience = 60 * time.Second

// rig is a stack on a TUN, and the kernel's namespace behind it.
type rig struct {
	t      *testing.T
	ctx    context.Context
	family int
	wire   *wire.Wire
	stack  *stack.Stack
	before kernelpeer.Counters
}

// families runs a test with a program over IPv4 and IPv6, if the program is there.
func families(t *testing.T, program string, f func(t *testing.T, r *rig)) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("no %s here: apt-get install %s", program, program)
	}
	for family, name := range map[int]string{4: "IPv4", 6: "IPv6"} {
		t.Run(name, func(t *testing.T) { f(t, newRig(t, family)) })
	}
}

func newRig(t *testing.T, family int) *rig {
	t.Helper()
	w, err := wire.Open(wire.TUN, wire.Config{})
	netnstest.Require(t, err)
	r := &rig{t: t, family: family, wire: w}
	t.Cleanup(func() { check(t, w.Close()) })
	check(t, kernelpeer.EnableFastOpen(w.Namespace))
	r.stack, err = stack.New(stack.Config{Link: w.Link, Addresses: w.StackAddresses})
	check(t, err)
	t.Cleanup(func() { check(t, r.stack.Close()) })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	r.ctx = ctx
	r.before, err = kernelpeer.ReadCounters(w.Namespace)
	check(t, err)
	return r
}

// counted compares how far the kernel's counters have moved.
func (r *rig) counted(want kernelpeer.Counters) {
	r.t.Helper()
	got, err := kernelpeer.ReadCounters(r.wire.Namespace)
	check(r.t, err)
	if got = got.Since(r.before); got != want {
		r.t.Errorf("the kernel counted %+v, want %+v", got, want)
	}
}

// start starts a program in the kernel's namespace.
func (r *rig) start(cmd *exec.Cmd) {
	r.t.Helper()
	// A process begins in the namespace of the thread that makes it.
	check(r.t, r.wire.Namespace.Do(cmd.Start))
}

// at is an address of this end and a port.
func (r *rig) at(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(r.wire.StackAddr(r.family), port)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// text is n bytes that nobody would make up.
func text(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		b.WriteString(time.Duration(i).String())
	}
	return b.String()[:n]
}
