package scenario

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"syscall"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// playing is the peer's part in a run.
type playing struct {
	service netip.AddrPort
	packets Packets
	conns   map[string]Conn
	newest  Conn
	dials   map[string]*dial
}

// dial is a connect of the peer's that is under way.
type dial struct {
	done chan struct{} // closed when the others are set
	conn Conn
	err  error
}

// start starts the peer's service.
func (p *playing) start(r *run) error {
	p.conns, p.dials = map[string]Conn{}, map[string]*dial{}
	peer := r.world.Peer
	if peer == nil {
		p.service = r.world.Service
		return nil
	}
	at, err := peer.Listen(r.FastOpen)
	if err != nil {
		return err
	}
	p.service = at
	if p.packets, err = peer.Packets(at.Port()); err != nil {
		return err
	}
	if r.Service != "none" {
		echo := r.Service == "echo"
		peer.Go(func() { serveConnections(peer, echo) })
		packets := p.packets
		peer.Go(func() { servePackets(packets, echo) })
	}
	return nil
}

// serveConnections serves until the peer is closed.
func serveConnections(peer Peer, echo bool) {
	for {
		c, err := peer.Accept(-1)
		if err != nil {
			return
		}
		c.SetLimit(-1)
		peer.Go(func() {
			to := io.Discard
			if echo {
				to = io.Writer(c)
			}
			// A connection that breaks shows at the client.
			_, _ = io.Copy(to, readerOnly{c})
			_ = c.Close()
		})
	}
}

// readerOnly hides the other methods from io.Copy.
type readerOnly struct{ io.Reader }

func servePackets(p Packets, echo bool) {
	for {
		b, from, err := p.Receive(-1)
		if err != nil {
			return
		}
		if echo {
			_ = p.Send(b, from)
		}
	}
}

// conn is the connection of the peer's that the step means.
func (r *run) conn() (Conn, error) {
	c := r.peers.newest
	if r.step.has("conn") {
		c = r.peers.conns[r.step.name("conn")]
	}
	if c == nil {
		return nil, fmt.Errorf("the peer has no such connection: peer-accept or peer-connect makes one")
	}
	c.SetLimit(r.limit())
	return c, nil
}

// takePeer does a step of the peer's.
func (r *run) takePeer() error {
	switch r.step.verb.name {
	case "peer-accept":
		return r.peerAccepts()
	case "peer-connect":
		return r.peerConnects()
	case "peer-connected":
		return r.peerConnected()
	case "peer-send-to", "peer-receive-from":
		return r.peerPackets()
	}
	c, err := r.conn()
	if err != nil {
		return err
	}
	switch r.step.verb.name {
	case "peer-send":
		b := r.step.bytes()
		r.line.did(0, "peer", "sends %s", quote(b))
		_, err = c.Write(b)
	case "peer-receive":
		return r.peerReceives(c)
	case "peer-fin":
		r.line.did(0, "peer", "ends its direction")
		err = c.CloseWrite()
	case "peer-reset":
		r.line.did(0, "peer", "resets the connection")
		err = c.Reset()
	}
	return err
}

// peerAccepts takes a connection.
func (r *run) peerAccepts() error {
	c, err := r.world.Peer.Accept(r.limit())
	if err != nil {
		return fmt.Errorf("the peer: %w", err)
	}
	r.line.did(0, "peer", "accepts a connection")
	r.peerHas(r.step.name("as"), c)
	return nil
}

// peerHas makes a connection of the peer's known.
func (r *run) peerHas(name string, c Conn) {
	r.peers.newest = c
	if name != "" {
		r.peers.conns[name] = c
	}
}

// peerConnects makes a connection, beside the steps.
func (r *run) peerConnects() error {
	to, err := r.localOf(r.step.name("socket"))
	if err != nil {
		return err
	}
	r.line.did(0, "peer", "connects to port %d", to.Port())
	d := &dial{done: make(chan struct{})}
	name, limit := r.step.name("as"), r.limit()
	r.peers.dials[name] = d
	r.world.Peer.Go(func() {
		defer close(d.done)
		d.conn, d.err = r.world.Peer.Dial(to, limit)
	})
	if r.step.keys["async"].yes {
		return nil
	}
	if err := r.finishDial(name); err != nil {
		return fmt.Errorf("the peer: %w", err)
	}
	return nil
}

// peerConnected waits for a connect, which may have to be refused.
func (r *run) peerConnected() error {
	name := r.step.name("conn")
	if r.peers.dials[name] == nil {
		return fmt.Errorf("the peer's %s is no connect that was started", name)
	}
	err := r.finishDial(name)
	switch {
	case err == nil:
		r.line.did(0, "peer", "is connected")
		return r.compareStatus(ntstatus.Success)
	case errors.Is(err, syscall.ECONNREFUSED):
		r.line.did(0, "peer", "is refused")
		return r.compareStatus(ntstatus.ConnectionRefused)
	}
	return fmt.Errorf("the peer: %w", err)
}

// finishDial waits for the end of a connect.
func (r *run) finishDial(name string) error {
	d := r.peers.dials[name]
	if !within(d.done, r.limit()) {
		return os.ErrDeadlineExceeded
	}
	if d.err == nil {
		r.peerHas(name, d.conn)
	}
	return d.err
}

// localOf is where a socket of ours can be reached.
func (r *run) localOf(name string) (netip.AddrPort, error) {
	s, err := r.known(name)
	if err != nil {
		return netip.AddrPort{}, err
	}
	b, ok := s.object.(binder)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("a basic socket has no address")
	}
	var at wsk.SockAddr
	done := make(chan struct{})
	i := irp.New(func(*irp.IRP, any) { close(done) }, nil)
	if status := b.GetLocalAddress(&at, i); !status.Success() {
		return netip.AddrPort{}, fmt.Errorf("its address: %v", status)
	}
	<-done
	if status := i.IoStatus().Status; status != ntstatus.Success {
		return netip.AddrPort{}, fmt.Errorf("its address: %v", status)
	}
	return netip.AddrPortFrom(r.world.Local, at.Port), nil
}

// peerReceives reads as much as is expected, and the end if that is nothing.
func (r *run) peerReceives(c Conn) error {
	want := len(r.step.expect["data"].text)
	if v, ok := r.step.expect["size"]; ok {
		want = int(v.count)
	}
	got := make([]byte, max(want, 1))
	n, err := io.ReadFull(c, got)
	r.line.did(0, "peer", "receives %s", quote(got[:n]))
	if err != nil && (want > 0 || !errors.Is(err, io.EOF)) {
		return fmt.Errorf("the peer received %s, and then: %w", quote(got[:n]), err)
	}
	return compareData(r.step, got[:n])
}

// peerPackets is the peer's UDP socket.
func (r *run) peerPackets() error {
	if r.step.verb.name == "peer-send-to" {
		to, err := r.localOf(r.step.name("socket"))
		if err != nil {
			return err
		}
		b := r.step.bytes()
		r.line.did(0, "peer", "sends the datagram %s", quote(b))
		return r.peers.packets.Send(b, to)
	}
	b, _, err := r.peers.packets.Receive(r.limit())
	if err != nil {
		return fmt.Errorf("the peer: %w", err)
	}
	r.line.did(0, "peer", "receives the datagram %s", quote(b))
	return compareData(r.step, b)
}
