package bench

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/test/netns/netnstest"
)

// TestCongestion: what was asked for is what sockets use, those that connect and those
// that are accepted.
func TestCongestion(t *testing.T) {
	ns := netnstest.New(t)
	err := ns.Do(func() error {
		at := netip.MustParseAddrPort("127.0.0.1:4000")
		sa, family := sockaddr(at)
		l, err := newSocket(family, "reno") // every kernel has it
		if err != nil {
			return err
		}
		defer l.Close()
		if err := errors.Join(unix.Bind(int(l), sa), unix.Listen(int(l), 1)); err != nil {
			return err
		}
		c, err := dialSocket("reno", at, nil, false)
		if err != nil {
			return err
		}
		defer c.Close()
		fd, _, err := unix.Accept(int(l))
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for which, fd := range map[string]int{"connected": int(c.(socket)), "accepted": fd} {
			if got, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION); err != nil || got != "reno" {
				t.Errorf("the %s socket uses %q, %v", which, got, err)
			}
		}
		_, err = newSocket(family, "none")
		if !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), `"none"`) {
			t.Errorf("a congestion control that is not there: %v", err)
		}
		return nil
	})
	netnstest.Require(t, err)
}

// TestCongestionIsInTheRowsNames: runs with another one are not compared, and one that
// is not there is not measured.
func TestCongestionIsInTheRowsNames(t *testing.T) {
	run := func(congestion string) (Report, error) {
		return Throughput(context.Background(), Options{Rounds: 1}, ThroughputOptions{
			MTUs: []int{1500}, Flows: []int{1}, Congestion: congestion, For: 20 * time.Millisecond,
		})
	}
	rep, err := run("reno")
	netnstest.Require(t, err)
	for _, r := range rep.Rows {
		if !strings.HasSuffix(r.Name, ", reno") {
			t.Errorf("the row %q does not say so", r.Name)
		}
	}
	if _, err := run("none"); !errors.Is(err, ErrOptions) {
		t.Errorf("a congestion control that is not there: %v", err)
	}
}
