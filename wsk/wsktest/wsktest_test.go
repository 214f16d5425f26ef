package wsktest_test

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/wsktest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestZeroTransport has nothing set: it does no harm and waits for ever.
func TestZeroTransport(t *testing.T) {
	var tr wsk.Transport = &wsktest.Transport{}
	tr.(*wsktest.Transport).Wake()
	woken := 0
	tr.SetWake(func() { woken++ })
	tr.(*wsktest.Transport).Wake()
	if woken != 1 {
		t.Errorf("woken %d times", woken)
	}
	for name, err := range map[string]error{
		"Bind": tr.Bind(netip.AddrPort{}), "Connect": tr.Connect(netip.AddrPort{}, wsk.ConnectOptions{}),
		"Listen":     tr.Listen(1),
		"CloseWrite": tr.CloseWrite(), "Err": tr.Err(), "Close": tr.Close(),
		"SetNoDelay": tr.SetNoDelay(true), "SetKeepAlive": tr.SetKeepAlive(true, time.Second, time.Second, 1),
		"SetMaxSegment": tr.SetMaxSegment(1), "SetV6Only": tr.SetV6Only(true),
		"SetReceiveBuffer": tr.SetReceiveBuffer(1), "SetSendBuffer": tr.SetSendBuffer(1),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, f := range map[string]func([][]byte) (int, error){"Read": tr.Read, "Write": tr.Write} {
		if n, err := f([][]byte{make([]byte, 1)}); n != 0 || !errors.Is(err, syscall.EAGAIN) {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
	if _, err := tr.Accept(); !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("Accept: %v", err)
	}
	if p, err := tr.Connected(); p != wsk.ProgressConnecting || err != nil {
		t.Errorf("Connected: %v, %v", p, err)
	}
	if tr.Unacknowledged() != 0 || tr.Readable() != 0 || tr.IdealBacklog() != 0 || tr.WriteClosed() || tr.LocalAddr().IsValid() || tr.RemoteAddr().IsValid() {
		t.Error("a transport without functions knows something")
	}
	tr.Abort()
}
