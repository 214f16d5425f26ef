package demo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/watched"
	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/await"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/verifier"
)

// wskClient is a client of WSK: registered, with the provider's NPI captured. It shows
// how WSK is used, so a verifier looks whether it is used like that.
type wskClient struct {
	provider *wsk.Provider
	verifier *verifier.Verifier
	reg      wsk.Registration
	npi      wsk.ProviderNPI
	network  *watched.Network
}

func newWSKClient(s *stack.Stack) (*wskClient, error) {
	v, err := verifier.New(verifier.Config{Now: time.Now})
	if err != nil {
		return nil, err
	}
	c := &wskClient{provider: wsk.NewProvider(), verifier: v, network: watched.New(s)}
	if err := v.Attach(c.provider); err != nil {
		return nil, err
	}
	if err := c.provider.Start(c.network); err != nil {
		return nil, err
	}
	npi := wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: wsk.Version1_0}}
	if status := c.provider.Register(&npi, &c.reg); status != ntstatus.Success {
		return nil, fmt.Errorf("WskRegister: %w", status.Err())
	}
	if status := c.reg.CaptureProviderNPI(wsk.NoWait, &c.npi); status != ntstatus.Success {
		c.reg.Deregister()
		return nil, fmt.Errorf("WskCaptureProviderNPI: %w", status.Err())
	}
	return c, nil
}

// closeLimit bounds the wait for a client's last request.
const closeLimit = 5 * time.Second

func (c *wskClient) close() error {
	c.reg.ReleaseProviderNPI()
	c.provider.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	err := c.reg.DeregisterContext(ctx)
	c.verifier.Finish()
	for _, r := range c.verifier.Reports() {
		err = errors.Join(err, fmt.Errorf("verifier: %v", r))
	}
	return err
}

// pending is a request whose completions are counted.
type pending struct {
	irp *irp.IRP
	// completions has one element for each time that the routine was called;
	// room for two, so that a second call would be seen.
	completions chan struct{}
}

// begin hands a request in.
func begin(call func(*irp.IRP) ntstatus.Status) *pending {
	p := &pending{completions: make(chan struct{}, 2)}
	p.irp = irp.New(func(*irp.IRP, any) {
		select {
		case p.completions <- struct{}{}:
		default:
		}
	}, nil)
	call(p.irp)
	return p
}

// cancel cancels the request and waits for the first completion.
func (p *pending) cancel() irp.StatusBlock {
	p.irp.Cancel()
	<-p.completions
	return p.irp.IoStatus()
}

// do hands a request in and waits for it; if the context ends first the request is
// cancelled. what names it in errors.
func do(ctx context.Context, what string, call func(*irp.IRP) ntstatus.Status) (irp.StatusBlock, error) {
	block := await.Start(call).AwaitContext(ctx)
	switch block.Status {
	case ntstatus.Success:
		return block, nil
	case ntstatus.Timeout: // the context's
		return irp.StatusBlock{}, fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	return irp.StatusBlock{}, fmt.Errorf("%s: %w", what, ntstatus.Error(block.Status))
}

// wskSocket is a bound connection socket.
type wskSocket struct{ *wsk.ConnectionSocket }

// open makes a socket, sets TCP_FASTOPEN and binds it to the wildcard.
func (c *wskClient) open(ctx context.Context, remote netip.Addr, fastOpen bool) (_ wskSocket, err error) {
	family := wsk.AF_INET
	if remote.Is6() {
		family = wsk.AF_INET6
	}
	block, err := do(ctx, "WskSocket", func(i *irp.IRP) ntstatus.Status {
		return c.npi.Dispatch.Socket(c.npi.Client, family, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagConnectionSocket, nil, nil, i)
	})
	if err != nil {
		return wskSocket{}, err
	}
	made, ok := block.Object.(*wsk.ConnectionSocket)
	if !ok {
		return wskSocket{}, errors.New("WskSocket made no connection socket")
	}
	s := wskSocket{made}
	if err := s.prepare(ctx, family, fastOpen); err != nil {
		return wskSocket{}, errors.Join(err, s.close(ctx))
	}
	return s, nil
}

func (s wskSocket) prepare(ctx context.Context, family uint16, fastOpen bool) error {
	if fastOpen {
		_, err := do(ctx, "WskControlSocket(TCP_FASTOPEN)", func(i *irp.IRP) ntstatus.Status {
			on := binary.LittleEndian.AppendUint32(nil, 1)
			return s.ControlSocket(wsk.SetOption, wsk.TCP_FASTOPEN, wsk.IPPROTO_TCP, on, nil, nil, i)
		})
		if err != nil {
			return err
		}
	}
	_, err := do(ctx, "WskBind", func(i *irp.IRP) ntstatus.Status {
		return s.Bind(&wsk.SockAddr{Family: family}, 0, i)
	})
	return err
}

// localAddr is the address that the socket is connected from.
func (s wskSocket) localAddr(ctx context.Context) (netip.AddrPort, error) {
	var local wsk.SockAddr
	_, err := do(ctx, "WskGetLocalAddress", func(i *irp.IRP) ntstatus.Status { return s.GetLocalAddress(&local, i) })
	return local.AddrPort(), err
}

// send hands bytes in, and does not wait.
func (s wskSocket) send(data []byte) ntstatus.Status {
	return await.Send(s, data, 0).Async().Returned()
}

// receive waits for at least one byte; no bytes mean the peer's FIN.
func (s wskSocket) receive(ctx context.Context, b []byte) (int, error) {
	block, err := do(ctx, "WskReceive", func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(b), 0, i) })
	return int(block.Information), err
}

// close closes the socket, whatever the context says: it takes no time.
func (s wskSocket) close(ctx context.Context) error {
	_, err := do(context.WithoutCancel(ctx), "WskCloseSocket", s.CloseSocket)
	return err
}
