package netns_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/test/netns/netnstest"
)

// here names the namespace of the calling thread.
func here(t *testing.T) string {
	t.Helper()
	name, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// inside names the namespace that Do runs in.
func inside(t *testing.T, ns *netns.Namespace) string {
	t.Helper()
	var name string
	if err := ns.Do(func() (err error) { name, err = os.Readlink("/proc/thread-self/ns/net"); return err }); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestNewIsAnotherNamespaceAndTheCallerStays(t *testing.T) {
	before := here(t)
	a, b := netnstest.New(t), netnstest.New(t)
	names := map[string]bool{before: true, inside(t, a): true, inside(t, b): true}
	if len(names) != 3 {
		t.Errorf("three namespaces wanted, got %v", names)
	}
	if inside(t, a) != inside(t, a) {
		t.Error("Do ran in two namespaces")
	}
}

// No thread of the runtime's pool may stay behind in a namespace: many
// goroutines, on as many threads as there are, look where they are.
func TestNoThreadIsLeftInside(t *testing.T) {
	before := here(t)
	ns := netnstest.New(t)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if err := ns.Do(func() error { return errors.New("wanted") }); err == nil || err.Error() != "wanted" {
				t.Errorf("Do gave %v, not the function's own error", err)
			}
		})
	}
	wg.Wait()
	threads, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		if name, err := os.Readlink(thread); err == nil && name != before {
			t.Errorf("%s is in %s", thread, name)
		}
	}
}

func TestDoReleasesTheCallerWhenTheFunctionLeaves(t *testing.T) {
	ns := netnstest.New(t)
	err := ns.Do(func() error { runtime.Goexit(); return nil })
	if err == nil {
		t.Error("a function that never returned gave no error")
	}
}

func TestSocketsBelongToTheNamespace(t *testing.T) {
	ns := netnstest.New(t)
	var in net.Listener
	if err := ns.Do(func() (err error) { in, err = net.Listen("tcp", "127.0.0.1:0"); return err }); err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	// The same port is free outside: it is another 127.0.0.1.
	out, err := net.Listen("tcp", in.Addr().String())
	if err != nil {
		t.Fatalf("the listener is not in the namespace: %v", err)
	}
	out.Close()
}

func TestSysctlIsTheNamespacesOwn(t *testing.T) {
	const name, path = "net.ipv4.tcp_fastopen", "/proc/sys/net/ipv4/tcp_fastopen"
	ns := netnstest.New(t)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.SetSysctl(name, "519"); err != nil {
		t.Fatal(err)
	}
	if got, err := ns.Sysctl(name); err != nil || got != "519" {
		t.Errorf("inside: %q, %v", got, err)
	}
	if got, err := ns.Sysctl("net/ipv4/tcp_fastopen"); err != nil || got != "519" {
		t.Errorf("by path: %q, %v", got, err)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("outside: %q became %q, %v", before, after, err)
	}
}

func TestSysctlRefuses(t *testing.T) {
	ns := netnstest.New(t)
	for name, want := range map[string]string{
		"kernel.hostname":                "belong to a network namespace",
		"net/../kernel/hostname":         "belong to a network namespace",
		"net/../../self/oom_score_adj":   "belong to a network namespace",
		"":                               "belong to a network namespace",
		"net.ipv4.no_such_switch":        "none of that name",
		"net.ipv4.tcp_fastopen_key.more": "netns: sysctl",
	} {
		if err := ns.SetSysctl(name, "1"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", name, err, want)
		}
	}
	if err := ns.SetSysctl("net.ipv4.tcp_fastopen", "not a number"); err == nil {
		t.Error("a value that the kernel refuses gave no error")
	}
}

func TestLinkUp(t *testing.T) {
	ns := netnstest.New(t) // sets lo up
	handle, err := ns.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	lo, err := handle.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if lo.Attrs().Flags&net.FlagUp == 0 {
		t.Error("lo is down")
	}
	if err := ns.LinkUp("nothing0"); err == nil || !strings.Contains(err.Error(), "nothing0") {
		t.Errorf("a device that is not there: %v", err)
	}
}

func TestOpenByPath(t *testing.T) {
	ns := netnstest.New(t)
	again, err := netns.Open(ns.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if inside(t, ns) != inside(t, again) {
		t.Error("the path leads elsewhere")
	}
	if _, err := netns.Open("/no/such/namespace"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := netns.Open("/dev/null"); err == nil {
		t.Error("/dev/null was taken for a namespace")
	}
}

func TestCloseLeavesNoDescriptorAndEndsUse(t *testing.T) {
	netnstest.Require(t, netns.Available())
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := count()
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.LinkUp("lo"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := ns.Close(); err != nil {
			t.Error(err)
		}
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	if err := ns.Do(func() error { return nil }); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Do after Close: %v", err)
	}
	if _, err := ns.Netlink(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Netlink after Close: %v", err)
	}
	if ns.Path() != "" {
		t.Error("a closed namespace has a path")
	}
}

func TestCloseDuringUse(t *testing.T) {
	netnstest.Require(t, netns.Available())
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				if _, err := ns.Netlink(); errors.Is(err, os.ErrClosed) {
					return
				}
				if err := ns.Do(func() error { return nil }); errors.Is(err, os.ErrClosed) {
					return
				}
			}
		})
	}
	if err := ns.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
}
