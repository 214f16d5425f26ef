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
			got := r.firstProbe()
			if got != tt.first {
				t.Errorf("the first probe after %v, want %v", got, tt.first)
			}
			_, _ = c.(*stack.TCPConn).SetLinger(0), c.Close()
		})
	}
}

// firstProbe is how long the stack sends nothing, 0 if that is for 20 s.
func (r *rig) firstProbe() time.Duration {
	r.t.Helper()
	for at := time.Second; at <= 20*time.Second; at += time.Second {
		r.clock.Advance(time.Second)
		if len(r.all()) > 0 {
			return at
		}
	}
	return 0
}

// TestKeepAliveOfAListener is the same for what it accepts.
func TestKeepAliveOfAListener(t *testing.T) {
	for name, tt := range map[string]struct {
		listen stack.ListenConfig
		first  time.Duration // 0: never
	}{
		"as package net": {first: stack.DefaultKeepAliveIdle},
		"of its own":     {listen: stack.ListenConfig{KeepAlive: 3 * time.Second}, first: 3 * time.Second},
		"none":           {listen: stack.ListenConfig{KeepAlive: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, stack.Config{})
			tt.listen.Stack = r.stack
			l, err := tt.listen.Listen(t.Context(), "tcp", ":80")
			if err != nil {
				t.Fatal(err)
			}
			r.client(1234, seg.SYN, 100, 0, nil, nil)
			synAck := r.next()
			r.client(1234, seg.ACK, 101, synAck.End(), nil, nil)
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			r.all()
			if got := r.firstProbe(); got != tt.first {
				t.Errorf("the first probe after %v, want %v", got, tt.first)
			}
			_, _, _ = c.(*stack.TCPConn).SetLinger(0), c.Close(), l.Close()
		})
	}
}
