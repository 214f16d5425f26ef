package stack_test

import (
	"syscall"
	"testing"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
)

// BenchmarkTransfer moves data through two stacks on a pipe, 64 KiB a call.
func BenchmarkTransfer(b *testing.B) {
	x, y := pair(b, stack.Config{}, stack.Config{})
	c, s := join(b, x, y, stack.ConnectOptions{FastOpen: fastopen.ModeOff})
	writable, readable := make(chan struct{}, 1), make(chan struct{}, 1)
	wake := func(ch chan struct{}) func() {
		return func() {
			select {
			case ch <- struct{}{}:
			default:
			}
		}
	}
	c.SetWake(wake(writable))
	s.SetWake(wake(readable))
	chunk := [][]byte{pattern(64 << 10)}
	b.SetBytes(64 << 10)
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for left := b.N * 64 << 10; left > 0; {
			n, err := c.Write([][]byte{chunk[0][:min(left, 64<<10)]})
			if left -= n; err == syscall.EAGAIN {
				<-writable
			} else if err != nil {
				b.Error(err)
				return
			}
		}
	}()
	buf := [][]byte{make([]byte, 256<<10)}
	for left := b.N * 64 << 10; left > 0; {
		n, err := s.Read(buf)
		if left -= n; err == syscall.EAGAIN {
			<-readable
		} else if err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	c.SetWake(nil)
	s.SetWake(nil)
}

// BenchmarkConnect opens and aborts connections with 100 bytes of data.
func BenchmarkConnect(b *testing.B) {
	for name, mode := range map[string]fastopen.Mode{"plain": fastopen.ModeOff, "fast open": fastopen.ModeOn} {
		b.Run(name, func(b *testing.B) {
			x, y := pair(b, stack.Config{}, stack.Config{})
			l, at := listen(b, y, "tcp4", addrB)
			if _, err := l.ServeFastOpen(fastopen.ListenConfig{}); err != nil {
				b.Fatal(err)
			}
			opts := stack.ConnectOptions{Data: pattern(100), FastOpen: mode}
			once := func() {
				e := endpoint(b, x, "tcp4")
				if err := e.Connect(at, opts); err != nil {
					b.Fatal(err)
				}
				if err := connected(b, e); err != nil {
					b.Fatal(err)
				}
				accept(b, l).Abort()
				e.Abort()
			}
			once() // asks for the cookie
			b.ReportAllocs()
			for b.Loop() {
				once()
			}
		})
	}
}
