package stack_test

import (
	"net"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/seg"
)

// TestKeepAliveOfADial looks at the wire of an idle connection, second by second.
func TestKeepAliveOfADial(t *testing.T) {
	for name, tt := range map[string]struct {
		dialer stack.Dialer
		first  time.Duration // 0: never
	}{
		"as package net":    {first: stack.DefaultKeepAliveIdle},
		"of its own":        {dialer: stack.Dialer{KeepAlive: 3 * time.Second}, first: 3 * time.Second},
		"none":              {dialer: stack.Dialer{KeepAlive: -1}},
		"the whole of it":   {dialer: stack.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second}}, first: 5 * time.Second},
		"the whole, and -1": {dialer: stack.Dialer{KeepAlive: -1, KeepAliveConfig: net.KeepAliveConfig{Enable: true}}, first: stack.DefaultKeepAliveIdle},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, stack.Config{})
			tt.dialer.Stack = r.stack
			dialled := make(chan net.Conn, 1)
			go func() {
				c, err := tt.dialer.Dial("tcp", r.peer.String())
				if err != nil {
					t.Error(err)
				}
				dialled <- c
			}()
			syn := r.wait()
			r.answer(syn, seg.SYN|seg.ACK, 100, syn.End(), nil, nil)
			c := <-dialled
			r.all()
			got := time.Duration(0)
			for at := time.Second; at <= 20*time.Second && got == 0; at += time.Second {
				r.clock.Advance(time.Second)
				if len(r.all()) > 0 {
					got = at
				}
			}
			if got != tt.first {
				t.Errorf("the first probe after %v, want %v", got, tt.first)
			}
			_, _ = c.(*stack.TCPConn).SetLinger(0), c.Close()
		})
	}
}
