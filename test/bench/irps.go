package bench

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
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
	c := &irpConn{}
	r := &c.receive // it receives later; until then it opens
	_, err := r.do(func(i *irp.IRP) ntstatus.Status {
		return v.npi.Dispatch.Socket(v.npi.Client, remote.Family, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagConnectionSocket, c, &connectionEvents, i)
	})
	if err != nil {
		return nil, err
	}
	c.s = r.irp.IoStatus().Object.(*wsk.ConnectionSocket)
	if fastOpen {
		_, err = r.do(func(i *irp.IRP) ntstatus.Status {
			return c.s.ControlSocket(wsk.SetOption, wsk.TCP_FASTOPEN, wsk.IPPROTO_TCP, []byte{1, 0, 0, 0}, nil, nil, i)
		})
	}
	if err == nil {
		_, err = r.do(func(i *irp.IRP) ntstatus.Status { return c.s.Bind(&wsk.SockAddr{Family: remote.Family}, 0, i) })
	}
	if err == nil {
		r.describe(data)
		_, err = r.do(func(i *irp.IRP) ntstatus.Status { return c.s.ConnectEx(&remote, &r.buf, 0, i) })
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// irpConn is a WSK socket. Its IRPs are used again and again.
type irpConn struct {
	s       *wsk.ConnectionSocket
	ideal   atomic.Uint64 // the send backlog that the provider wants, in bytes
	send    *request      // an idle connection sends nothing, and has none
	receive request
}

var connectionEvents = wsk.ClientConnectionDispatch{
	SendBacklogEvent: func(conn any, bytes uint64) ntstatus.Status {
		conn.(*irpConn).ideal.Store(bytes)
		return ntstatus.Success
	},
}

// request is an IRP with the event that its completion routine sets.
type request struct {
	irp    irp.IRP
	event  sync.WaitGroup
	buf    wsk.Buf
	mdl    wsk.MDL
	flying bool
}

// describe makes b what the request's buffer describes.
func (r *request) describe(b []byte) {
	r.mdl.Data = b
	r.buf = wsk.Buf{MDL: &r.mdl, Length: uint64(len(b))}
}

// begin hands the request in.
func (r *request) begin(call func(*irp.IRP) ntstatus.Status) {
	r.irp.Reuse(ntstatus.Unsuccessful)
	r.irp.SetCompletionRoutine(completed, r)
	r.flying = true
	r.event.Add(1)
	call(&r.irp)
}

// do hands the request in and waits for its end.
func (r *request) do(call func(*irp.IRP) ntstatus.Status) (int, error) {
	r.begin(call)
	return r.wait()
}

// start hands the request in for b, which is the provider's until wait.
func (r *request) start(b []byte, call func(*wsk.Buf, uint32, *irp.IRP) ntstatus.Status) {
	r.describe(b)
	r.begin(func(i *irp.IRP) ntstatus.Status { return call(&r.buf, 0, i) })
}

// completed sets the event, whatever the result.
func completed(_ *irp.IRP, context any) {
	context.(*request).event.Done()
}

func (r *request) wait() (int, error) {
	if !r.flying {
		return 0, nil
	}
	r.event.Wait()
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

// Write implements conn. It waits until the peer has it all.
func (c *irpConn) Write(b []byte) (int, error) {
	if c.send == nil {
		c.send = new(request)
	}
	c.send.start(b, c.s.Send)
	return c.send.wait()
}

// CloseWrite implements conn.
func (c *irpConn) CloseWrite() error {
	_, err := await.Disconnect(c.s, nil, 0).Sync(requestLimit).Get()
	return err
}

// Close implements conn.
func (c *irpConn) Close() error {
	_, err := await.CloseSocket(c.s).Sync(requestLimit).Get()
	return err
}

// pend leaves a receive pending.
func (c *irpConn) pend() { c.receive.start(make([]byte, 1), c.s.Receive) }
