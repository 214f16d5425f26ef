package onstack

import (
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/wsk"
)

// What a transport can do besides.
var _ interface {
	wsk.Inspector
	wsk.Silencer
	wsk.FastOpenServer
	wsk.Sharer
	wsk.HeaderSetter
	wsk.RetransmitLimiter
} = (*transport)(nil)

var _ interface {
	wsk.Sharer
	wsk.HeaderSetter
	wsk.Multicaster
	wsk.ChecksumSetter
} = datagram{}

// NextRequest implements wsk.Inspector.
func (t *transport) NextRequest() (wsk.Request, error) {
	q, err := t.Endpoint.NextRequest()
	return wsk.Request{ID: wsk.RequestID(q.ID), Local: q.Local, Remote: q.Remote, Gone: q.Gone}, err
}

// Decide implements wsk.Inspector.
func (t *transport) Decide(id wsk.RequestID, accept bool) error {
	return t.Endpoint.Decide(stack.RequestID(id), accept)
}

// RequestID implements wsk.Inspector.
func (t *transport) RequestID() (wsk.RequestID, bool) {
	id, ok := t.Endpoint.RequestID()
	return wsk.RequestID(id), ok
}

// ServeFastOpen implements wsk.FastOpenServer. A stack whose Fast Open is off is not
// overruled.
func (t *transport) ServeFastOpen(on bool) error {
	if t.serve != nil {
		t.serve.SetEnabled(on)
		return nil
	}
	if !on || t.stack.FastOpen().Mode() == fastopen.ModeOff {
		return nil
	}
	serve, err := t.Endpoint.ServeFastOpen(fastopen.ListenConfig{})
	t.serve = serve
	return err
}

// ShareAddress implements wsk.Sharer.
func (t *transport) ShareAddress(on bool) error { return t.SetReusePort(on) }

// SetRetransmitLimit implements wsk.RetransmitLimiter.
func (t *transport) SetRetransmitLimit(d time.Duration) error { return t.SetUserTimeout(d) }

// ShareAddress implements wsk.Sharer.
func (d datagram) ShareAddress(on bool) error { return d.SetReusePort(on) }

// NewRaw implements wsk.RawNetwork; wsk asks for the family's ICMP alone.
func (n network) NewRaw(v6 bool, _ uint8) (wsk.Datagram, error) {
	name := "ip4"
	if v6 {
		name = "ip6"
	}
	d, err := n.stack.NewRaw(name)
	if err != nil {
		return nil, err
	}
	return datagram{d}, nil
}
