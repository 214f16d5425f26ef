package bench

import (
	"io"
	"sync/atomic"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// fewest is how many sends are under way at least.
const fewest = 2

// irpLoop is bulk as WSK's clients do it: no thread waits, each completion routine hands
// its request in again. A send is done when it has been acknowledged, where the other
// layers' writes are done when their bytes are in netstack's buffer. So as much is under
// way as that buffer holds: the provider says how much that is. All requests have the
// same memory, as the writes of the others do.
//
// Routines of a socket run one after the other, so that nothing here needs a lock.
type irpLoop struct {
	conn             *irpConn
	call             func(*wsk.Buf, uint32, *irp.IRP) ntstatus.Status
	buf              *wsk.Buf
	up               bool
	received, ending *atomic.Int64
	under            int // requests under way
	err              error
	over             chan struct{} // room for one
}

// bulk moves data until the end, one way or the other.
func (c *irpConn) bulk(up bool, received, ending *atomic.Int64) error {
	p := &irpLoop{conn: c, call: c.s.Receive, buf: wsk.NewBuf(make([]byte, block)), up: up, received: received, ending: ending, over: make(chan struct{}, 1)}
	if up {
		p.call = c.s.Send
		if err := c.tune(); err != nil {
			return err
		}
	}
	p.post(new(irp.IRP))
	<-p.over
	return p.err
}

// tune turns Nagle's algorithm off, as it is from the start for the other layers, and
// has the provider tell of the ideal backlog.
func (c *irpConn) tune() error {
	backlog := wsk.EventCallbackControl{NpiID: wsk.NPI_WSK_INTERFACE_ID(), EventMask: wsk.EventSendBacklog}
	for _, o := range []struct {
		option, level uint32
		value         []byte
	}{
		{wsk.TCP_NODELAY, wsk.IPPROTO_TCP, []byte{1, 0, 0, 0}},
		{wsk.SO_WSK_EVENT_CALLBACK, wsk.SOL_SOCKET, backlog.Bytes()},
	} {
		if _, err := c.receive.do(func(i *irp.IRP) ntstatus.Status {
			return c.s.ControlSocket(wsk.SetOption, o.option, o.level, o.value, nil, nil, i)
		}); err != nil {
			return err
		}
	}
	return nil
}

func (p *irpLoop) post(i *irp.IRP) {
	p.under++
	i.Reuse(ntstatus.Unsuccessful)
	i.SetCompletionRoutine(moved, p)
	p.call(p.buf, 0, i)
}

func moved(i *irp.IRP, context any) {
	p, result := context.(*irpLoop), i.IoStatus()
	p.under--
	switch {
	case p.err != nil:
	case !result.Status.Success():
		p.err = result.Status.Err()
	case result.Information == 0:
		p.err = io.EOF
	case p.ending.Load() == 0:
		if !p.up {
			p.received.Add(int64(result.Information))
		}
		p.post(i)
		for p.up && p.err == nil && (p.under < fewest || uint64(p.under+1)*block <= p.conn.ideal.Load()) {
			p.post(new(irp.IRP))
		}
	}
	if p.under == 0 {
		select {
		case p.over <- struct{}{}:
		default: // a call that failed at once has been here before
		}
	}
}
