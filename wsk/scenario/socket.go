package scenario

import (
	"fmt"
	"slices"
	"sync"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// anySocket is what every category has.
type anySocket interface {
	ControlSocket(what wsk.ControlType, controlCode, level uint32, input, output []byte, outputSizeReturned *uint64, i *irp.IRP) ntstatus.Status
	CloseSocket(i *irp.IRP) ntstatus.Status
}

// The slots of the other categories' tables, by what has them.
type (
	binder interface {
		Bind(localAddress *wsk.SockAddr, flags uint32, i *irp.IRP) ntstatus.Status
		GetLocalAddress(localAddress *wsk.SockAddr, i *irp.IRP) ntstatus.Status
	}
	listener interface {
		Accept(flags uint32, acceptContext any, acceptDispatch *wsk.ClientConnectionDispatch, localAddress, remoteAddress *wsk.SockAddr, i *irp.IRP) ntstatus.Status
	}
	connection interface {
		Connect(remoteAddress *wsk.SockAddr, flags uint32, i *irp.IRP) ntstatus.Status
		ConnectEx(remoteAddress *wsk.SockAddr, buffer *wsk.Buf, flags uint32, i *irp.IRP) ntstatus.Status
		Send(buffer *wsk.Buf, flags uint32, i *irp.IRP) ntstatus.Status
		Receive(buffer *wsk.Buf, flags uint32, i *irp.IRP) ntstatus.Status
		Disconnect(buffer *wsk.Buf, flags uint32, i *irp.IRP) ntstatus.Status
		Release(dataIndication *wsk.DataIndication) ntstatus.Status
		GetRemoteAddress(remoteAddress *wsk.SockAddr, i *irp.IRP) ntstatus.Status
	}
)

// socket is a socket, its callbacks and what they were told.
type socket struct {
	run    *run
	name   string
	family uint16
	object anySocket // nil until it is made
	closed bool      // WskCloseSocket was called and took its IRP

	accepted   string              // names sockets of the accept event
	acceptedOn map[string][]answer // and says what their callbacks answer

	mu       sync.Mutex // a leaf; guards all below
	answers  map[string][]answer
	arrivals int // of the accept event
	told     map[string][]told
	changed  chan struct{} // closed, and made anew, when told grows
	retained []*wsk.DataIndication
	kept     []*wsk.DatagramIndication
	given    []*wsk.DataIndication // back, by the last release

	inspected wsk.InspectID // of the request that was pended last
}

// told is one call of a callback.
type told struct {
	data     []byte
	abortive bool
}

// newSocket takes a name; the object comes when the request completes.
func (r *run) newSocket(name string, family uint16, answers map[string][]answer) *socket {
	s := &socket{run: r, name: name, family: family, answers: map[string][]answer{}, told: map[string][]told{}, changed: make(chan struct{})}
	for event, list := range answers {
		s.answers[event] = list
	}
	return s
}

// make makes a socket known, now that there is an object.
func (r *run) make(s *socket, object any) {
	if made, ok := object.(anySocket); ok {
		s.object = made
		r.add(s)
	}
}

// next is what the callback of an event answers this time.
func (s *socket) next(event string) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.answers[event]
	if len(list) == 0 {
		return answer{word: "take", bytes: -1}
	}
	if len(list) > 1 {
		s.answers[event] = list[1:]
	}
	return list[0]
}

// tell records a call of a callback.
func (s *socket) tell(event string, t told) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told[event] = append(s.told[event], t)
	close(s.changed)
	s.changed = make(chan struct{})
}

// heard takes the oldest call of a callback that no step has expected.
func (s *socket) heard(event string) (told, bool, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.told[event]
	if len(list) == 0 {
		return told{}, false, s.changed
	}
	s.told[event] = list[1:]
	return list[0], true, nil
}

// connectionTable makes the callbacks of a connection, as far as the scenario has
// answers for them; nil without.
func (s *socket) connectionTable() *wsk.ClientConnectionDispatch {
	t := &wsk.ClientConnectionDispatch{}
	used := false
	if _, ok := s.answers["receive"]; ok {
		t.ReceiveEvent, used = s.receiveEvent, true
	}
	if _, ok := s.answers["disconnect"]; ok {
		t.DisconnectEvent, used = s.disconnectEvent, true
	}
	if _, ok := s.answers["send-backlog"]; ok {
		t.SendBacklogEvent, used = s.backlogEvent, true
	}
	if !used {
		return nil
	}
	return t
}

// listenTable makes the callbacks of a listening socket.
func (s *socket) listenTable() *wsk.ClientListenDispatch {
	t := &wsk.ClientListenDispatch{}
	used := false
	if _, ok := s.answers["accept"]; ok {
		t.AcceptEvent, used = s.acceptEvent, true
	}
	if _, ok := s.answers["inspect"]; ok {
		t.InspectEvent, used = s.inspectEvent, true
	}
	if _, ok := s.answers["abort"]; ok {
		t.AbortEvent, used = s.abortEvent, true
	}
	if !used {
		return nil
	}
	return t
}

// table makes the client dispatch of a category; an untyped nil if there are no
// callbacks.
func (s *socket) table(category string) wsk.EventTable {
	switch category {
	case "listen":
		if t := s.listenTable(); t != nil {
			return t
		}
	case "connection":
		if t := s.connectionTable(); t != nil {
			return t
		}
	case "stream":
		l, c := s.listenTable(), s.connectionTable()
		if l != nil || c != nil {
			return &wsk.ClientStreamDispatch{Listen: l, Connect: c}
		}
	case "datagram":
		if _, ok := s.answers["receive-from"]; ok {
			return &wsk.ClientDatagramDispatch{ReceiveFromEvent: s.receiveFromEvent}
		}
	}
	return nil
}

// callback records a call with its answer.
func (s *socket) callback(event, what string, a answer, t told) {
	s.run.line.saw(s.name, 0, "callback", "%s %s: %s; answers %s", s.name, event, what, a)
	s.tell(event, t)
}

func (a answer) String() string {
	if a.bytes >= 0 {
		return fmt.Sprintf("%s %d", a.word, a.bytes)
	}
	return a.word
}

func (s *socket) receiveEvent(_ any, _ uint32, list *wsk.DataIndication, _ uint64, accepted *uint64) ntstatus.Status {
	if list == nil {
		s.callback("receive", "the socket is dead", answer{word: "take", bytes: -1}, told{})
		return ntstatus.Success
	}
	var data []byte
	for d := list; d != nil; d = d.Next {
		data = append(data, bytesOf(&d.Buffer)...)
	}
	a := s.next("receive")
	if a.word == "retain" { // before the scenario is told: it may release at once
		s.mu.Lock()
		for d := list; d != nil; {
			next := d.Next
			d.Next = nil
			s.retained = append(s.retained, d)
			d = next
		}
		s.mu.Unlock()
	}
	s.callback("receive", quote(data), a, told{data: data})
	switch a.word {
	case "retain":
		return ntstatus.Pending
	case "refuse":
		return ntstatus.DataNotAccepted
	}
	if a.bytes >= 0 {
		*accepted = uint64(a.bytes)
	}
	return ntstatus.Success
}

func (s *socket) disconnectEvent(_ any, flags uint32) ntstatus.Status {
	abortive := flags&wsk.FlagAbortive != 0
	what := "graceful"
	if abortive {
		what = "abortive"
	}
	s.callback("disconnect", what, s.next("disconnect"), told{abortive: abortive})
	return ntstatus.Success
}

func (s *socket) backlogEvent(_ any, size uint64) ntstatus.Status {
	s.callback("send-backlog", fmt.Sprintf("%d bytes", size), s.next("send-backlog"), told{})
	return ntstatus.Success
}

func (s *socket) acceptEvent(_ any, _ uint32, _, remote *wsk.SockAddr, accepted *wsk.ConnectionSocket, _ *any, dispatch **wsk.ClientConnectionDispatch) ntstatus.Status {
	if accepted == nil {
		s.callback("accept", "the socket is dead", answer{word: "take", bytes: -1}, told{})
		return ntstatus.Success
	}
	a := s.next("accept")
	answer := ntstatus.RequestNotAccepted
	if a.word != "refuse" {
		n := s.run.newSocket(s.nextName(), s.family, s.acceptedOn)
		*dispatch = n.connectionTable()
		n.object = accepted
		s.run.add(n)
		answer = ntstatus.Success
	}
	s.callback("accept", "from "+remote.AddrPort().Addr().String(), a, told{})
	return answer
}

func (s *socket) inspectEvent(_ any, _, remote *wsk.SockAddr, id *wsk.InspectID) wsk.InspectAction {
	if id == nil {
		s.callback("inspect", "the socket is dead", answer{word: "take", bytes: -1}, told{})
		return wsk.InspectReject
	}
	a := s.next("inspect")
	if a.word == "pend" {
		s.mu.Lock()
		s.inspected = *id
		s.mu.Unlock()
	}
	s.callback("inspect", "from "+remote.AddrPort().Addr().String(), a, told{})
	switch a.word {
	case "refuse":
		return wsk.InspectReject
	case "pend":
		return wsk.InspectPend
	}
	return wsk.InspectAccept
}

func (s *socket) abortEvent(_ any, _ *wsk.InspectID) ntstatus.Status {
	s.callback("abort", "the request is gone", s.next("abort"), told{})
	return ntstatus.Success
}

// nextName names a socket of the accept event.
func (s *socket) nextName() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrivals++
	name := s.accepted
	if name == "" {
		name = s.name + "-accepted"
	}
	if s.arrivals > 1 {
		name = fmt.Sprintf("%s-%d", name, s.arrivals)
	}
	return name
}

func (s *socket) receiveFromEvent(_ any, _ uint32, list *wsk.DatagramIndication) ntstatus.Status {
	if list == nil {
		s.callback("receive-from", "the socket is dead", answer{word: "take", bytes: -1}, told{})
		return ntstatus.Success
	}
	a := s.next("receive-from")
	for d := list; d != nil; {
		next := d.Next
		data := append([]byte(nil), bytesOf(&d.Buffer)...)
		if a.word == "retain" { // before the scenario is told: it may release at once
			d.Next = nil
			s.mu.Lock()
			s.kept = append(s.kept, d)
			s.mu.Unlock()
		}
		s.callback("receive-from", quote(data), a, told{data: data})
		d = next
	}
	switch a.word {
	case "retain":
		return ntstatus.Pending
	case "refuse":
		return ntstatus.DataNotAccepted
	}
	return ntstatus.Success
}

// bytesOf are the bytes that a Buf describes.
func bytesOf(b *wsk.Buf) []byte {
	var out []byte
	skip := int(b.Offset)
	for m := b.MDL; m != nil && uint64(len(out)) < b.Length; m = m.Next {
		if skip > len(m.Data) {
			break
		}
		piece := m.Data[skip:]
		skip = 0
		if left := b.Length - uint64(len(out)); uint64(len(piece)) > left {
			piece = piece[:left]
		}
		out = append(out, piece...)
	}
	return out
}

// release gives retained elements back, the oldest first, and answers what WskRelease
// answers; 0 stands for all. With again it gives back those of the last time.
func (s *socket) release(count int, again bool) ntstatus.Status {
	s.mu.Lock()
	var data *wsk.DataIndication
	var datagrams *wsk.DatagramIndication
	if d, ok := s.object.(*wsk.DatagramSocket); ok {
		n := share(count, len(s.kept))
		for i := n - 1; i >= 0; i-- {
			s.kept[i].Next, datagrams = datagrams, s.kept[i]
		}
		s.kept = s.kept[n:]
		s.mu.Unlock()
		return d.Release(datagrams)
	}
	if !again {
		n := share(count, len(s.retained))
		s.given, s.retained = s.retained[:n], s.retained[n:]
	}
	for _, d := range slices.Backward(s.given) {
		d.Next, data = data, d
	}
	s.mu.Unlock()
	c, ok := s.object.(connection)
	if !ok {
		return ntstatus.InvalidParameter
	}
	return c.Release(data)
}

func share(count, have int) int {
	if count == 0 {
		return have
	}
	return min(count, have)
}

// giveBack releases what the scenario has forgotten.
func (s *socket) giveBack() {
	s.mu.Lock()
	n := len(s.retained) + len(s.kept)
	s.mu.Unlock()
	if n > 0 {
		s.release(0, false)
	}
}
