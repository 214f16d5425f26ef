package bench

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/await"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/onstack"
)

// requestLimit bounds a request of which the measurement waits for the end.
const requestLimit = 30 * time.Second

// viaIRPs uses WSK's calls.
type viaIRPs struct{ npi wsk.ProviderNPI }

// newViaIRPs registers a client, which the subject gives up when it is closed.
func newViaIRPs(owner *Subject, s *stack.Stack) (dialer, error) {
	provider := wsk.NewProvider()
	if err := provider.Start(onstack.Network(s)); err != nil {
		return nil, err
	}
	v := &viaIRPs{}
	reg := new(wsk.Registration)
	client := wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: wsk.Version1_0}}
	if status := provider.Register(&client, reg); status != ntstatus.Success {
		return nil, fmt.Errorf("bench: WskRegister: %w", status.Err())
	}
	if status := reg.CaptureProviderNPI(wsk.NoWait, &v.npi); status != ntstatus.Success {
		return nil, fmt.Errorf("bench: WskCaptureProviderNPI: %w", status.Err())
	}
	owner.onClose(func() error {
		reg.ReleaseProviderNPI()
		provider.Stop()
		reg.Deregister()
		return nil
	})
	return v.dial, nil
}

func (v *viaIRPs) dial(to netip.AddrPort, data []byte, fastOpen bool) (conn, error) {
	remote := wsk.SockAddrFrom(to)
	s, err := await.Socket[*wsk.ConnectionSocket](v.npi, remote.Family, wsk.SOCK_STREAM, wsk.IPPROTO_TCP,
		wsk.FlagConnectionSocket, nil, nil).Sync(requestLimit).Get()
	if err != nil {
		return nil, err
	}
	c := &irpConn{s: s, receive: newRequest()}
	if fastOpen {
		_, err = await.SetOption(s, wsk.IPPROTO_TCP, wsk.TCP_FASTOPEN, 1).Sync(requestLimit).Get()
	}
	if err == nil {
		_, err = await.Bind(s, wsk.SockAddr{Family: remote.Family}).Sync(requestLimit).Get()
	}
	if err == nil {
		_, err = await.ConnectEx(s, remote, data).Sync(requestLimit).Get()
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// depth is how many sends are under way at once, as a driver has them: a send is
// done when it has been acknowledged.
const depth = 8

// irpConn is a WSK socket. Its IRPs are used again and again.
type irpConn struct {
	s       *wsk.ConnectionSocket
	sends   [depth]*request
	next    int
	receive *request
}

// request is an IRP with the event that its completion routine sets.
type request struct {
	irp    irp.IRP
	event  chan struct{}
	buf    wsk.Buf
	mdl    wsk.MDL
	flying bool
}

func newRequest() *request { return &request{event: make(chan struct{}, 1)} }

// start hands the request in for b, which is the provider's until wait.
func (r *request) start(b []byte, call func(*wsk.Buf, uint32, *irp.IRP) ntstatus.Status) {
	r.irp.Reuse(ntstatus.Unsuccessful)
	r.irp.SetCompletionRoutine(completed, r)
	r.mdl.Data = b
	r.buf = wsk.Buf{MDL: &r.mdl, Length: uint64(len(b))}
	r.flying = true
	call(&r.buf, 0, &r.irp)
}

// completed sets the event, whatever the result.
func completed(_ *irp.IRP, context any) {
	context.(*request).event <- struct{}{}
}

func (r *request) wait() (int, error) {
	if !r.flying {
		return 0, nil
	}
	<-r.event
	r.flying = false
	block := r.irp.IoStatus()
	return int(block.Information), block.Status.Err()
}

// Read implements conn.
func (c *irpConn) Read(b []byte) (int, error) {
	c.receive.start(b, c.s.Receive)
	n, err := c.receive.wait()
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// Write implements conn, but for this: b has to stay as it is until the connection
// is closed. It waits for the send that was handed in depth writes ago.
func (c *irpConn) Write(b []byte) (int, error) {
	r := c.sends[c.next%depth]
	if r == nil { // an idle connection sends nothing
		r = newRequest()
		c.sends[c.next%depth] = r
	}
	c.next++
	if _, err := r.wait(); err != nil {
		return 0, err
	}
	r.start(b, c.s.Send)
	return len(b), nil
}

// CloseWrite implements conn.
func (c *irpConn) CloseWrite() error {
	_, err := await.Disconnect(c.s, nil, 0).Sync(requestLimit).Get()
	return err
}

// Close implements conn.
func (c *irpConn) Close() error {
	_, err := await.CloseSocket(c.s).Sync(requestLimit).Get()
	for _, r := range c.sends {
		if r != nil {
			_, _ = r.wait()
		}
	}
	return err
}

// pend leaves a receive pending.
func (c *irpConn) pend() { c.receive.start(make([]byte, 1), c.s.Receive) }
