// Package stacktest runs stacks on a simulated wire in virtual time: exact,
// repeatable, and as fast as the processor allows.
//
//	┌──────────────────────── one bubble of testing/synctest ───────────────────────┐
//	│  test code: blocking calls, Sleep, goroutines                                  │
//	│     │ Dial, Listen, Read, Write          │                   │ Send, Receive   │
//	│  ┌──▼─────┐                          ┌───▼────┐          ┌───▼──┐              │
//	│  │ Host   │ a stack.Stack            │ Host   │          │ Peer │ hand-driven  │
//	│  └──┬─────┘                          └───┬────┘          └───┬──┘              │
//	│     │ Line: Out ► In ◄                   │ Line              │ Line            │
//	│     │ loss, delay, ... per direction     │                   │                 │
//	│     └──[middleboxes]──────── cloud ──────┴───────────────────┘                 │
//	│                  routes by destination address                                 │
//	│                                                                                │
//	│  driver: one goroutine that owns time: timers, packets, wake-ups, one by one   │
//	└────────────────────────────────────────────────────────────────────────────────┘
//
// Run starts a bubble and calls the test in it. Hosts are whole stacks with all
// that belongs to them, Peers are addresses whose packets the test makes by hand,
// and Port.Guard takes in any other netstack.
//
// # A test
//
// An echo over a bad path, a hundred times, each time with other losses:
//
//	func TestEcho(t *testing.T) {
//		bad := stacktest.Path{Delay: 20 * time.Millisecond, Loss: 0.1, Reorder: 0.1}
//		host := func(addr string) stack.Config {
//			return stack.Config{Addresses: []netip.Prefix{netip.MustParsePrefix(addr)}}
//		}
//		for seed := range uint64(100) {
//			stacktest.Run(t, stacktest.Config{Seed: seed}, func(n *stacktest.Net) {
//				server := n.Host("server", stacktest.LineConfig{}, host("10.0.0.1/24"))
//				client := n.Host("client", stacktest.Both(bad), host("10.0.0.2/24"))
//				l, err := server.Listen(netip.MustParseAddrPort("10.0.0.1:80"), 16, &fastopen.ListenConfig{})
//				if err != nil {
//					n.T().Fatal(err)
//				}
//				n.Go(func() {
//					if c, err := l.Accept(); err == nil {
//						_, _ = io.Copy(c, c)
//						_ = c.Close()
//					}
//				})
//				c, err := client.Dial(l.LocalAddr(), stack.ConnectOptions{Data: []byte("hello")})
//				if err != nil {
//					n.T().Fatal(err)
//				}
//				_ = c.CloseWrite()
//				if got, err := c.ReadAll(); err != nil || string(got) != "hello" {
//					n.T().Errorf("read %q, %v", got, err)
//				}
//				_ = c.Close()
//			})
//		}
//	}
//
// # How time works
//
// Netstack's segment processors do not block in a way that testing/synctest can
// see, so in a bubble of their own time would stand still. Here they are paused
// (gstack.Stack.Pause) but for the moments in which there is something to
// process: one goroutine, the driver, takes the next thing that is due, a packet
// or a timer, lets the processors work it off, waits until everything in the
// bubble is blocked again, collects what was sent, and only then takes the next.
// Time passes when nothing is left to do at the present moment.
//
// # What makes a run repeatable
//
// Everything random comes from Config.Seed. What happens to a packet is drawn
// from the seed, the packet's content and how often it was seen, never from a
// generator that two goroutines could reach in either order. Wake-ups of blocked
// calls and of a stack's connects, timers of the Net's clock, Sleep and goroutines
// started by Go happen one at a time in a fixed order. So one seed gives one Result.Hash, whatever
// GOMAXPROCS is. Code that brings goroutines of its own (time.Sleep, go
// statements, other locks and channels) runs as it is; where two of them act at
// the same instant, their order is the scheduler's, and such traces have to be
// compared for each connection apart.
//
// # When a test fails
//
// Run logs the seed, Config.Replay, the ladder of packets, and where it has
// written them as pcapng, each with its fate as a comment.
//
// # Rules in the bubble
//
// No real descriptors, no real network, no other processes: they take real time.
// No call of synctest.Wait: that is the driver's; Net.Settle is for tests.
// A mutex held over a wait for a channel stops the bubble, which is a find. A
// wait that nothing ends shows as a deadlock that synctest reports.
//
// # Ownership and limits
//
// The Net owns its hosts: Run closes them after the test function has returned;
// synctest fails the test if a goroutine is left then. Goroutines of the test
// that still wait in a call of this package are ended.
//
// Locks: barrier.mu is held over Pause and Resume, so over whatever netstack does
// meanwhile; notice.mu comes before Net.mu; Line.mu, Port.mu and timers.mu are
// leaves. None is held over a call of test code.
//
// A wire holds IP packets of up to 65,535 bytes; links have no addresses and no
// offloads. The first Config.MaxEvents events are kept for ladder and pcapng; the
// hash covers all.
package stacktest
