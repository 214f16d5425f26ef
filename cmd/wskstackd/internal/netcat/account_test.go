package netcat

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen"
)

// What moves puts the end off; when nothing has moved for long enough there is one in
// good order, and after a while another.
func TestIdleCountsFromTheLastMovement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const idle, grace = time.Minute, 5 * time.Second
		l := &Listener{opts: ListenOptions{Idle: idle, FastOpen: true}, reasons: newReasons(), grace: grace}
		c := l.account(t.Context(), netip.MustParseAddrPort("192.0.2.1:5000"), func() fastopen.Outcome { return fastopen.Outcome{} })
		for range 3 {
			<-time.After(idle - time.Second)
			c.moved(&c.received, 10)
		}
		<-time.After(idle - time.Second)
		if c.soft.Err() != nil {
			t.Error("it ended although something had moved")
		}
		<-time.After(2 * time.Second)
		if err := context.Cause(c.soft); err == nil || !strings.Contains(err.Error(), "--idle") {
			t.Errorf("nothing moves, and it goes on: %v", err)
		}
		if c.hard.Err() != nil {
			t.Error("it has no time for an end in good order")
		}
		c.moved(&c.sent, 5) // the last words put nothing off
		<-time.After(grace)
		if err := context.Cause(c.hard); err == nil || !strings.Contains(err.Error(), "--idle") {
			t.Errorf("it takes its time: %v", err)
		}
		if r := c.over(nil); r.BytesReceived != 30 || r.BytesSent != 5 {
			t.Errorf("%+v", r)
		}
	})
}

func TestFastOpenOptions(t *testing.T) {
	got := ListenOptions{Pending: 7, FastOpen: true}.fastOpen()
	if want := (fastopen.ListenConfig{MaxPending: 7}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := (ListenOptions{Pending: 7}).fastOpen(); !got.Disabled {
		t.Errorf("%+v", got)
	}
}
