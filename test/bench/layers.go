package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
)

// Layers opens five stacks on links that are alike, each with a layer more: netstack
// alone, with Fast Open beneath it, this stack's endpoint on both, Go's API, and
// WSK's requests. If some are named, only those.
func Layers(cfg Config, names ...string) ([]*Subject, error) {
	var all []*Subject
	for _, l := range allLayers() {
		if len(names) > 0 && !slices.Contains(names, l.name) {
			continue
		}
		s, err := openOn(l.name, cfg, false, l.on)
		if err != nil {
			for _, s := range all {
				err = errors.Join(err, s.Close())
			}
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// From the lowest to the highest.
const (
	layerBare     = "bare"
	layerFastOpen = "+fastopen"
	layerEndpoint = "+endpoint"
	layerGo       = "+go"
	layerIRPs     = "+irps"
)

type layer struct {
	name string
	on   user
}

func allLayers() []layer {
	return []layer{
		{layerBare, onNetstack},
		{layerFastOpen, onFastOpen},
		{layerEndpoint, onStack(func(_ *Subject, s *stack.Stack) (dialer, error) { return viaEndpoint{s}.dial, nil })},
		{layerGo, onStack(func(_ *Subject, s *stack.Stack) (dialer, error) { return viaGo{s}.dial, nil })},
		{layerIRPs, onStack(newViaIRPs)},
	}
}

// requests opens the stack as WSK's clients use it.
func requests(cfg Config) (*Subject, error) { return openStack(layerIRPs, cfg, false, newViaIRPs) }

// waits is how a blocking call waits for one that does not block.
type waits struct {
	ready chan struct{} // room for one
	stop  chan struct{}
	once  sync.Once
}

func newWaits() waits { return waits{ready: make(chan struct{}, 1), stop: make(chan struct{})} }

func (w *waits) wake() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// until calls try until it does not ask for another time.
func (w *waits) until(try func() (int, error)) (int, error) {
	for {
		n, err := try()
		if !errors.Is(err, syscall.EAGAIN) {
			return n, err
		}
		select {
		case <-w.ready:
		case <-w.stop:
			return n, io.ErrClosedPipe
		}
	}
}

func (w *waits) end() { w.once.Do(func() { close(w.stop) }) }

// viaNetstack uses netstack's endpoint directly.
type viaNetstack struct{ stack *gstack.Stack }

// bareConn is netstack's endpoint. Reading and writing wait for different things,
// since each may be on a goroutine of its own.
type bareConn struct {
	ep          tcpip.Endpoint
	queue       waiter.Queue
	in, out     waits
	read, write waiter.Entry
}

func (v viaNetstack) dial(to netip.AddrPort, data []byte, fastOpen bool) (conn, error) {
	if fastOpen {
		return nil, errors.New("bench: netstack alone has no Fast Open")
	}
	proto := header.IPv4ProtocolNumber
	if to.Addr().Is6() {
		proto = header.IPv6ProtocolNumber
	}
	c := &bareConn{in: newWaits(), out: newWaits()}
	ep, terr := v.stack.NewEndpoint(tcp.ProtocolNumber, proto, &c.queue)
	if terr != nil {
		return nil, fmt.Errorf("bench: %v", terr)
	}
	c.ep = ep
	c.read = waiter.NewFunctionEntry(waiter.ReadableEvents|waiter.EventHUp|waiter.EventErr, func(waiter.EventMask) { c.in.wake() })
	c.write = waiter.NewFunctionEntry(waiter.WritableEvents|waiter.EventHUp|waiter.EventErr, func(waiter.EventMask) { c.out.wake() })
	c.queue.EventRegister(&c.read)
	c.queue.EventRegister(&c.write)
	terr = ep.Connect(tcpip.FullAddress{Addr: tcpip.AddrFromSlice(to.Addr().AsSlice()), Port: to.Port()})
	if _, ok := terr.(*tcpip.ErrConnectStarted); !ok {
		ep.Close()
		return nil, fmt.Errorf("bench: %v", terr)
	}
	_, err := c.out.until(func() (int, error) { return 0, c.connected() })
	if err == nil && len(data) > 0 {
		_, err = c.Write(data)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *bareConn) connected() error {
	switch tcp.EndpointState(c.ep.State()) {
	case tcp.StateSynSent, tcp.StateSynRecv, tcp.StateConnecting:
		return syscall.EAGAIN
	}
	return bareError(c.ep.LastError())
}

func bareError(err tcpip.Error) error {
	switch err.(type) {
	case nil:
		return nil
	case *tcpip.ErrWouldBlock:
		return syscall.EAGAIN
	case *tcpip.ErrClosedForReceive:
		return io.EOF
	}
	return fmt.Errorf("bench: %v", err)
}

// Read implements conn.
func (c *bareConn) Read(b []byte) (int, error) {
	return c.in.until(func() (int, error) {
		w := tcpip.SliceWriter(b)
		r, err := c.ep.Read(&w, tcpip.ReadOptions{})
		c.ep.ModerateRecvBuf(2 * r.Count) // who reads has to ask for a larger buffer; as package stack does
		return r.Count, bareError(err)
	})
}

// Write implements conn.
func (c *bareConn) Write(b []byte) (done int, err error) {
	for done < len(b) && err == nil {
		var n int
		n, err = c.out.until(func() (int, error) {
			n, err := c.ep.Write(bytes.NewReader(b[done:]), tcpip.WriteOptions{})
			return int(n), bareError(err)
		})
		done += n
	}
	return done, err
}

// CloseWrite implements conn.
func (c *bareConn) CloseWrite() error { return bareError(c.ep.Shutdown(tcpip.ShutdownWrite)) }

// Close implements conn.
func (c *bareConn) Close() error {
	c.queue.EventUnregister(&c.read)
	c.queue.EventUnregister(&c.write)
	c.in.end()
	c.out.end()
	c.ep.Close()
	return nil
}

// viaEndpoint uses stack.Endpoint, Fast Open included.
type viaEndpoint struct{ stack *stack.Stack }

type endpointConn struct {
	*stack.Endpoint
	in, out waits
}

func (v viaEndpoint) dial(to netip.AddrPort, data []byte, fastOpen bool) (conn, error) {
	network, mode := "tcp4", fastopen.ModeOff
	if to.Addr().Is6() {
		network = "tcp6"
	}
	if fastOpen {
		mode = fastopen.ModeOn
	}
	ep, err := v.stack.NewEndpoint(network)
	if err != nil {
		return nil, err
	}
	c := &endpointConn{Endpoint: ep, in: newWaits(), out: newWaits()}
	ep.SetWake(func() { c.in.wake(); c.out.wake() })
	if err := ep.Connect(to, stack.ConnectOptions{Data: data, FastOpen: mode, Timeout: connectLimit}); err != nil {
		return nil, errors.Join(err, ep.Close())
	}
	if _, err := c.out.until(func() (int, error) {
		done, err := ep.Connected()
		if !done && err == nil {
			err = syscall.EAGAIN
		}
		return 0, err
	}); err != nil {
		return nil, errors.Join(err, ep.Close())
	}
	return c, nil
}

const connectLimit = 10 * time.Second

// Read implements conn.
func (c *endpointConn) Read(b []byte) (int, error) {
	return c.in.until(func() (int, error) { return c.Endpoint.Read([][]byte{b}) })
}

// Write implements conn.
func (c *endpointConn) Write(b []byte) (done int, err error) {
	for done < len(b) && err == nil {
		var n int
		n, err = c.out.until(func() (int, error) { return c.Endpoint.Write([][]byte{b[done:]}) })
		done += n
	}
	return done, err
}

// Close implements conn.
func (c *endpointConn) Close() error {
	c.in.end()
	c.out.end()
	return c.Endpoint.Close()
}
