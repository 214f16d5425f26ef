package verifier

import (
	"bytes"

	"github.com/wskstack/wskstack/wsk"
)

// Our own choices.
const (
	redZone     = 32   // bytes behind an indication
	redByte     = 0xFD // what they hold
	freshByte   = 0xCD // in a receive buffer that nothing has come into
	poisonByte  = 0xDD // in memory that went back
	maxReleased = 128  // poisoned pieces that are looked at again
	maxFrozen   = 64   // receive buffers that are looked at again
)

// memory is a piece of a request's memory.
type memory struct {
	client [][]byte // what the client gave
	before []byte   // its content then; nil if nobody compares
	filled []byte   // what the provider fills in its place; nil if it only reads
}

// frozen is a receive buffer of the provider's after the completion.
type frozen struct {
	about   *irpRecord
	buffer  []byte
	content []byte
}

// Memory implements wsk.Observer: the provider reads from the client's own memory, but
// fills a buffer that the client does not see before the completion.
func (o observer) Memory(c *wsk.Call, segs [][]byte, written bool) [][]byte {
	v := o.v
	m := &memory{client: append([][]byte(nil), segs...)}
	n := 0
	for _, s := range segs {
		n += len(s)
	}
	rule := "B4"
	if written {
		rule = "B3"
	}
	if v.on(rule) {
		m.before = join(segs, n)
	}
	if written && v.on("B3", "M3", "I14") {
		m.filled = bytes.Repeat([]byte{freshByte}, n)
		segs = [][]byte{m.filled}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	call := c.Data.(*callRecord)
	call.memory = append(call.memory, m)
	return segs
}

func join(segs [][]byte, n int) []byte {
	out := make([]byte, 0, n)
	for _, s := range segs {
		out = append(out, s...)
	}
	return out
}

// settleMemory compares a request's memory with what it was, and gives the client the
// n bytes that came. Precondition: v.mu is held.
func (v *Verifier) settleMemory(call *callRecord, n int, at trace) {
	about := &object{name: "call of " + call.function}
	if call.irp != nil {
		about = &call.irp.object
	}
	for _, m := range call.memory {
		if m.before != nil && !bytes.Equal(m.before, join(m.client, len(m.before))) {
			id := "B4"
			if m.filled != nil {
				id = "B3"
			}
			v.breach(id, about, at, call.function)
		}
		if m.filled != nil {
			rest := m.filled[:min(n, len(m.filled))]
			for _, s := range m.client {
				rest = rest[copy(s, rest):]
			}
			v.freeze(call.irp, m.filled, at)
		}
	}
	call.memory = nil
}

// freeze looks at a buffer again later: the provider may not touch it any more.
func (v *Verifier) freeze(about *irpRecord, buffer []byte, at trace) {
	if about == nil || !v.on("M3") {
		return
	}
	v.frozen = append(v.frozen, &frozen{about, buffer, bytes.Clone(buffer)})
	if len(v.frozen) > maxFrozen {
		v.thaw(v.frozen[0], at)
		v.frozen = v.frozen[1:]
	}
}

func (v *Verifier) thaw(f *frozen, at trace) {
	if !bytes.Equal(f.buffer, f.content) {
		v.breachOnce("M3", &f.about.object, at, "its buffer was filled after the completion")
	}
}

// block is the memory of one indication, as it was given to the client.
type block struct {
	memory []byte // with its red zone
	size   int
	owner  object
}

// node is one element of an indication: the callback's while that runs, then the
// client's if it retains it.
type node struct {
	key      any // *wsk.DataIndication or *wsk.DatagramIndication
	socket   *socketRecord
	block    *block // nil without data
	retained bool
}

// Indicate implements wsk.Observer: the client gets a copy with a red zone behind it.
func (o observer) Indicate(s *wsk.Observed, data []byte) []byte {
	v := o.v
	if !v.on("B5") || len(data) == 0 {
		return data
	}
	b := &block{memory: make([]byte, len(data)+redZone), size: len(data)}
	copy(b.memory, data)
	for k := len(data); k < len(b.memory); k++ {
		b.memory[k] = redByte
	}
	at := v.takeOn(0)
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.socketOf(s, at)
	b.owner = object{name: "indication of " + r.name}
	b.owner.history.add("made", at)
	v.blocks[&b.memory[0]] = b
	return b.memory[:len(data)] // an append runs into the red zone
}

// handOut notes the elements of a list that a callback is given. Precondition: v.mu is
// held.
func (v *Verifier) handOut(list any, s *socketRecord) []*node {
	var out []*node
	add := func(key any, buffer wsk.Buf) {
		n := &node{key: key, socket: s}
		if m := buffer.MDL; m != nil && len(m.Data) > 0 {
			n.block = v.blocks[&m.Data[0]]
			delete(v.blocks, &m.Data[0])
		}
		v.nodes[key] = n
		out = append(out, n)
	}
	switch l := list.(type) {
	case *wsk.DataIndication:
		for ; l != nil; l = l.Next {
			add(l, l.Buffer)
		}
	case *wsk.DatagramIndication:
		for ; l != nil; l = l.Next {
			add(l, l.Buffer)
		}
	}
	return out
}

// handedBack is told that the callback that was given n has returned.
func (v *Verifier) handedBack(n *node, retained bool, at trace) {
	if v.nodes[n.key] != n {
		return // released inside the callback
	}
	if retained {
		n.retained = true
		if n.block != nil {
			n.block.owner.history.add("retained", at)
		}
		return
	}
	v.drop(n, "given back by the callback's return", at)
}

// takeBack is told of a successful WskRelease. Precondition: v.mu is held.
func (v *Verifier) takeBack(list any, s *socketRecord, at trace) {
	s.history.add("Release", at)
	release := func(key any) {
		if n := v.nodes[key]; n != nil {
			v.drop(n, "released", at)
		}
	}
	switch l := list.(type) {
	case *wsk.DataIndication:
		for ; l != nil; l = l.Next {
			release(l)
		}
	case *wsk.DatagramIndication:
		for ; l != nil; l = l.Next {
			release(l)
		}
	}
}

// drop ends the client's use of an element: its memory is checked, and poisoned.
func (v *Verifier) drop(n *node, how string, at trace) {
	delete(v.nodes, n.key)
	b := n.block
	if b == nil {
		return
	}
	b.owner.history.add(how, at)
	v.checkRedZone(b, at)
	for k := range b.memory {
		b.memory[k] = poisonByte
	}
	v.released = append(v.released, b)
	if len(v.released) > maxReleased {
		v.checkPoison(v.released[0], at)
		v.released = v.released[1:]
	}
}

func (v *Verifier) checkRedZone(b *block, at trace) {
	for _, x := range b.memory[b.size:] {
		if x != redByte {
			v.breach("B5", &b.owner, at, "written beyond its bytes")
			return
		}
	}
}

func (v *Verifier) checkPoison(b *block, at trace) {
	for _, x := range b.memory {
		if x != poisonByte {
			v.breachOnce("B5", &b.owner, at, "written after it was given back")
			return
		}
	}
}

// checkRetained looks for what a socket's client still retains. Precondition: v.mu is
// held.
func (v *Verifier) checkRetained(s *socketRecord, at trace) {
	for _, n := range v.nodes {
		if n.socket == s && n.retained {
			v.breachOnce("S4", &s.object, at, "")
			delete(v.nodes, n.key)
		}
	}
}

// checkMemory looks again at everything that went back. Precondition: v.mu is held.
func (v *Verifier) checkMemory(at trace) {
	for _, b := range v.released {
		v.checkPoison(b, at)
	}
	for _, f := range v.frozen {
		v.thaw(f, at)
	}
}
