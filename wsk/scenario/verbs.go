package scenario

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// call is a request in the making.
type call struct {
	title   string
	socket  string
	submit  func(*irp.IRP) ntstatus.Status
	memory  []byte
	outcome func(irp.StatusBlock) outcome
	// made is called when the request has succeeded.
	made func(irp.StatusBlock)
}

// take does one step.
func (r *run) take() error {
	if r.step.verb.peer {
		return r.takePeer()
	}
	if f, ok := ownVerbs()[r.step.verb.name]; ok {
		return f(r)
	}
	c, err := r.call()
	if err != nil {
		return err
	}
	if r.step.keys["null-irp"].yes {
		status := c.submit(nil)
		r.line.did(0, "call", "%s with a NULL IRP: %v", c.title, status)
		return r.compareStatus(status)
	}
	q := r.irps[r.step.name("irp")]
	if q == nil {
		q = r.newRequest(r.step.name("irp"), c.title, c.socket)
	} else {
		q.call, q.socket = c.title, c.socket
	}
	q.memory, q.outcome = c.memory, c.outcome
	q.made = c.made
	q.submit(c.submit)
	if q.socket != "" && r.step.verb.name == "close" && q.returned == ntstatus.Pending {
		r.close(q.socket)
	}
	if r.step.keys["async"].yes {
		return r.returned(q)
	}
	block := r.wait(q, r.limit())
	q.adopt(block)
	if err := r.returned(q); err != nil {
		return err
	}
	return r.compare(q, block)
}

// adopt takes up what a request has made, once.
func (q *request) adopt(block irp.StatusBlock) {
	if q.made != nil && block.Status == ntstatus.Success {
		q.made(block)
	}
	q.made = nil
}

// returned looks at what the call returned.
func (r *run) returned(q *request) error {
	v, ok := r.step.expect["pended"]
	if !ok || !r.own {
		return nil
	}
	if pended := q.returned == ntstatus.Pending; pended != v.yes {
		return fmt.Errorf("the call returned %v; expected pended: %v", q.returned, v.yes)
	}
	return nil
}

// socketOf is the step's socket as an interface that it has to have.
func socketOf[S any](r *run) (*socket, S, error) {
	var none S
	s, err := r.known(r.step.name("socket"))
	if err != nil {
		return nil, none, err
	}
	has, ok := s.object.(S)
	if !ok {
		return nil, none, fmt.Errorf("a socket of this category has no %s", r.step.verb.function)
	}
	return s, has, nil
}

// call makes the call of a verb that hands an IRP in.
func (r *run) call() (call, error) {
	st := r.step
	name := strings.TrimPrefix(st.verb.function, "Wsk")
	c := call{title: name, socket: st.name("socket")}
	if c.socket != "" {
		c.title += " " + c.socket
	}
	flags := uint32(st.keys["flags"].count)
	switch st.verb.name {
	case "socket", "socket-connect":
		return c, r.creating(&c, flags)
	case "bind", "listen", "accept", "get-local-address":
		return c, r.addressing(&c, flags)
	case "connect", "connect-ex", "send", "receive", "disconnect", "get-remote-address":
		return c, r.connecting(&c, flags)
	case "send-to", "send-messages", "receive-from":
		return c, r.datagrams(&c, flags)
	case "inspect-complete":
		return c, r.inspecting(&c)
	case "set-option", "get-option", "ioctl", "disable", "close":
		return c, r.controlling(&c)
	case "get-address-info", "get-name-info":
		return c, r.resolving(&c)
	}
	return c, fmt.Errorf("the verb %s is not known here: this is a fault of wskstack", st.verb.name)
}

// family is the address family of a socket that is made.
func (r *run) family() uint16 {
	v6 := r.world.PeerAddr.Is6() && !r.world.PeerAddr.Is4In6()
	if f := r.step.name("family"); f != "" {
		v6 = f == "6"
	}
	if v6 {
		return wsk.AF_INET6
	}
	return wsk.AF_INET
}

// creating is WskSocket and WskSocketConnect.
func (r *run) creating(c *call, flags uint32) error {
	st := r.step
	name, family := st.name("as"), r.family()
	s := r.newSocket(name, family, st.keys["on"].answers)
	s.accepted, s.acceptedOn = st.name("accepted"), st.keys["accepted-on"].answers
	c.title += " " + name
	c.socket = name
	c.made = func(b irp.StatusBlock) { r.make(s, b.Object) }
	if st.verb.name == "socket" {
		category := categoryTable[st.name("category")]
		if st.has("flags") {
			category.flags = flags
		}
		table := s.table(st.name("category"))
		c.title += ", " + st.name("category")
		c.submit = func(i *irp.IRP) ntstatus.Status {
			return r.npi.Dispatch.Socket(r.npi.Client, family, category.socketType, category.protocol, category.flags, nil, table, i)
		}
		return nil
	}
	remote, err := r.address("remote", family)
	if err != nil {
		return err
	}
	local, err := r.address("local", family)
	if err != nil {
		return err
	}
	table := s.table("connection")
	c.submit = func(i *irp.IRP) ntstatus.Status {
		return r.npi.Dispatch.SocketConnect(r.npi.Client, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, &local, &remote, flags, nil, table, i)
	}
	return nil
}

// addressing is what all sockets but basic ones have.
func (r *run) addressing(c *call, flags uint32) error {
	st := r.step
	switch st.verb.name {
	case "listen":
		_, has, err := socketOf[*wsk.StreamSocket](r)
		if err != nil {
			return err
		}
		c.submit = has.Listen
		return nil
	case "accept":
		l, has, err := socketOf[listener](r)
		if err != nil {
			return err
		}
		n := r.newSocket(st.name("as"), l.family, st.keys["on"].answers)
		c.made = func(b irp.StatusBlock) { r.make(n, b.Object) }
		c.submit = func(i *irp.IRP) ntstatus.Status {
			return has.Accept(flags, nil, n.connectionTable(), nil, nil, i)
		}
		return nil
	}
	s, has, err := socketOf[binder](r)
	if err != nil {
		return err
	}
	if st.verb.name == "bind" {
		local, err := r.address("local", s.family)
		c.submit = func(i *irp.IRP) ntstatus.Status { return has.Bind(&local, flags, i) }
		return err
	}
	out := &wsk.SockAddr{}
	c.submit = func(i *irp.IRP) ntstatus.Status { return has.GetLocalAddress(out, i) }
	r.givesAddress(c, out)
	return nil
}

// givesAddress reads an address that a call has filled in.
func (r *run) givesAddress(c *call, out *wsk.SockAddr) {
	as := r.step.name("as")
	c.outcome = func(irp.StatusBlock) outcome { return outcome{address: out.AddrPort().String()} }
	c.made = func(irp.StatusBlock) {
		if as != "" {
			r.addrs[as] = *out
		}
	}
}

// connecting is what connection and stream sockets have.
func (r *run) connecting(c *call, flags uint32) error {
	st := r.step
	s, has, err := socketOf[connection](r)
	if err != nil {
		return err
	}
	var remote wsk.SockAddr
	if st.has("remote") {
		if remote, err = r.address("remote", s.family); err != nil {
			return err
		}
	}
	buffer := r.buffer(c)
	switch st.verb.name {
	case "connect":
		c.submit = func(i *irp.IRP) ntstatus.Status { return has.Connect(&remote, flags, i) }
	case "connect-ex":
		c.submit = func(i *irp.IRP) ntstatus.Status { return has.ConnectEx(&remote, buffer, flags, i) }
	case "send":
		if buffer == nil {
			buffer = &wsk.Buf{}
		}
		c.submit = func(i *irp.IRP) ntstatus.Status { return has.Send(buffer, flags, i) }
	case "receive":
		c.outcome = received(c.memory)
		c.submit = func(i *irp.IRP) ntstatus.Status { return has.Receive(buffer, flags, i) }
	case "disconnect":
		c.submit = func(i *irp.IRP) ntstatus.Status { return has.Disconnect(buffer, flags, i) }
	default:
		out := &wsk.SockAddr{}
		c.submit = func(i *irp.IRP) ntstatus.Status { return has.GetRemoteAddress(out, i) }
		r.givesAddress(c, out)
	}
	return nil
}

// received reads what a receive has filled in.
func received(memory []byte) func(irp.StatusBlock) outcome {
	return func(b irp.StatusBlock) outcome {
		return outcome{data: memory[:min(int(b.Information), len(memory))]}
	}
}

// buffer makes the step's WSK_BUF; nil if it has neither bytes nor a size.
func (r *run) buffer(c *call) *wsk.Buf {
	st := r.step
	switch {
	case st.verb.name == "receive" || st.verb.name == "receive-from":
		c.memory = make([]byte, st.keys["size"].count)
	case st.has("data") || st.has("hex") || st.has("size"):
		c.memory = st.bytes()
	case !st.has("length") && !st.has("offset"):
		return nil
	}
	b := wsk.NewBuf(c.memory)
	if st.has("length") {
		b.Length = st.keys["length"].count
	}
	b.Offset = uint32(st.keys["offset"].count)
	if st.has("offset") && !st.has("length") && uint64(b.Offset) <= b.Length {
		b.Length -= uint64(b.Offset)
	}
	return b
}

// bytes are what the step sends.
func (st *step) bytes() []byte {
	switch {
	case st.has("hex"):
		return slices.Clone(st.keys["hex"].bytes)
	case st.has("size"):
		return pattern(int(st.keys["size"].count))
	}
	return []byte(st.name("data"))
}

// datagrams is what datagram sockets have.
func (r *run) datagrams(c *call, flags uint32) error {
	st := r.step
	s, has, err := socketOf[*wsk.DatagramSocket](r)
	if err != nil {
		return err
	}
	var remote *wsk.SockAddr
	if st.has("remote") {
		a, err := r.address("remote", s.family)
		if err != nil {
			return err
		}
		remote = &a
	}
	switch st.verb.name {
	case "send-to":
		buffer := r.buffer(c)
		if buffer == nil {
			buffer = &wsk.Buf{}
		}
		c.submit = func(i *irp.IRP) ntstatus.Status { return has.SendTo(buffer, flags, remote, nil, i) }
	case "send-messages":
		var list *wsk.BufList
		for _, text := range slices.Backward(st.keys["list"].list) {
			list = &wsk.BufList{Next: list, Buffer: *wsk.NewBuf([]byte(text))}
		}
		c.submit = func(i *irp.IRP) ntstatus.Status { return has.SendMessages(list, flags, remote, nil, i) }
	default:
		buffer := r.buffer(c)
		from, control := &wsk.SockAddr{}, new(uint32)
		length := new(uint32)
		memory := c.memory
		c.submit = func(i *irp.IRP) ntstatus.Status {
			return has.ReceiveFrom(buffer, flags, from, length, nil, control, i)
		}
		c.outcome = func(b irp.StatusBlock) outcome {
			o := received(memory)(b)
			o.address, o.truncated = from.AddrPort().String(), *control&wsk.MSG_TRUNC != 0
			return o
		}
	}
	return nil
}

// controlling is what every socket has.
func (r *run) controlling(c *call) error {
	st := r.step
	s, err := r.known(st.name("socket"))
	if err != nil {
		return err
	}
	level, code, _ := parseOption(st.name("option"))
	output := make([]byte, 4)
	control := func(what wsk.ControlType, code, level uint32, in, out []byte) {
		c.submit = func(i *irp.IRP) ntstatus.Status {
			return s.object.ControlSocket(what, code, level, in, out, nil, i)
		}
	}
	switch st.verb.name {
	case "close":
		c.submit = s.object.CloseSocket
	case "set-option":
		c.title += ", " + st.name("option")
		control(wsk.SetOption, code, level, binary.LittleEndian.AppendUint32(nil, uint32(st.keys["value"].count)), nil)
	case "get-option":
		c.title += ", " + st.name("option")
		control(wsk.GetOption, code, level, nil, output)
		c.outcome = func(irp.StatusBlock) outcome {
			return outcome{value: uint64(binary.LittleEndian.Uint32(output))}
		}
	case "disable":
		c.title += ", disable " + strings.Join(st.keys["events"].list, " ")
		control(wsk.SetOption, wsk.SO_WSK_EVENT_CALLBACK, wsk.SOL_SOCKET, eventControl(st.keys["events"].list, wsk.EventDisable), nil)
	default:
		return r.ioctl(c, s)
	}
	return nil
}

// ioctl is WskControlSocket with WskIoctl.
func (r *run) ioctl(c *call, s *socket) error {
	st := r.step
	code, _ := parseIoctl(st.name("code"))
	c.title += ", " + st.name("code")
	input := st.keys["hex"].bytes
	if st.has("remote") {
		a, err := r.address("remote", s.family)
		if err != nil {
			return err
		}
		input = a.Bytes()
	}
	output := make([]byte, st.keys["size"].count)
	c.submit = func(i *irp.IRP) ntstatus.Status {
		return s.object.ControlSocket(wsk.Ioctl, code, 0, input, output, nil, i)
	}
	c.outcome = func(irp.StatusBlock) outcome {
		wide := make([]byte, 8)
		copy(wide, output)
		return outcome{value: binary.LittleEndian.Uint64(wide)}
	}
	return nil
}

// inspecting is WskInspectComplete.
func (r *run) inspecting(c *call) error {
	s, has, err := socketOf[*wsk.ListenSocket](r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	id := s.inspected
	s.mu.Unlock()
	action := map[string]wsk.InspectAction{"accept": wsk.InspectAccept, "reject": wsk.InspectReject, "pend": wsk.InspectPend}[r.step.name("action")]
	c.title += ", " + r.step.name("action")
	c.submit = func(i *irp.IRP) ntstatus.Status { return has.InspectComplete(&id, action, i) }
	return nil
}

// eventControl is a WSK_EVENT_CALLBACK_CONTROL.
func eventControl(events []string, mask uint32) []byte {
	for _, e := range events {
		mask |= eventTable[e]
	}
	return wsk.EventCallbackControl{NpiID: wsk.NPI_WSK_INTERFACE_ID(), EventMask: mask}.Bytes()
}

// resolving is WskGetAddressInfo and WskGetNameInfo.
func (r *run) resolving(c *call) error {
	st := r.step
	if st.verb.name == "get-name-info" {
		remote, err := r.address("remote", r.family())
		if err != nil {
			return err
		}
		node := new(string)
		c.title += " " + remote.AddrPort().Addr().String()
		c.submit = func(i *irp.IRP) ntstatus.Status {
			return r.npi.Dispatch.GetNameInfo(r.npi.Client, &remote, node, nil, 0, i)
		}
		c.outcome = func(irp.StatusBlock) outcome { return outcome{node: *node} }
		return nil
	}
	list := new(*wsk.AddrInfo)
	c.title += " " + st.name("node")
	node, service, as := st.name("node"), st.name("service"), st.name("as")
	c.submit = func(i *irp.IRP) ntstatus.Status {
		return r.npi.Dispatch.GetAddressInfo(r.npi.Client, node, service, nil, list, i)
	}
	var found []string
	c.made = func(irp.StatusBlock) {
		for a := *list; a != nil; a = a.Next {
			found = append(found, a.Addr.AddrPort().Addr().String())
		}
		if as != "" && *list != nil {
			r.addrs[as] = (*list).Addr
		}
		r.npi.Dispatch.FreeAddressInfo(r.npi.Client, *list)
	}
	c.outcome = func(irp.StatusBlock) outcome { return outcome{addresses: found} }
	return nil
}

// parseOption reads TCP_FASTOPEN or 6:15.
func parseOption(text string) (level, code uint32, ok bool) {
	if o, ok := optionTable[text]; ok {
		return o[0], o[1], true
	}
	l, c, found := strings.Cut(text, ":")
	a, err1 := strconv.ParseUint(l, 0, 32)
	b, err2 := strconv.ParseUint(c, 0, 32)
	return uint32(a), uint32(b), found && err1 == nil && err2 == nil
}

func optionNames() string { return strings.Join(slices.Sorted(maps.Keys(optionTable)), ", ") }

// parseIoctl reads SIO_... or a number.
func parseIoctl(text string) (uint32, bool) {
	if c, ok := ioctlTable[text]; ok {
		return c, true
	}
	c, err := strconv.ParseUint(text, 0, 32)
	return uint32(c), err == nil
}

func ioctlNames() string { return strings.Join(slices.Sorted(maps.Keys(ioctlTable)), ", ") }

// knownAddress reports whether an address can be made of a text.
func knownAddress(text string, made map[string]bool) bool {
	if text == "peer" || text == "closed" || text == "nowhere" || made[text] {
		return true
	}
	_, err := netip.ParseAddrPort(text)
	return err == nil
}

// closedPort is a port on which no peer listens.
const closedPort = 9

// address is that of a key, in the form of a socket's family.
func (r *run) address(k string, family uint16) (wsk.SockAddr, error) {
	text := r.step.name(k)
	var at netip.AddrPort
	switch text {
	case "":
		return wsk.SockAddr{Family: family}, nil
	case "peer":
		at = r.peers.service
	case "closed":
		at = netip.AddrPortFrom(r.world.PeerAddr, closedPort)
	case "nowhere":
		at = netip.AddrPortFrom(r.world.Nowhere, closedPort)
	default:
		if a, ok := r.addrs[text]; ok {
			return a, nil
		}
		parsed, err := netip.ParseAddrPort(text)
		if err != nil {
			return wsk.SockAddr{}, fmt.Errorf("there is no address %q: the step that makes it gave none", text)
		}
		at = parsed
	}
	if !at.IsValid() {
		return wsk.SockAddr{}, fmt.Errorf("this peer has no address for %q", text)
	}
	return wsk.SockAddrFrom(at), nil
}

// compare compares what came out with what is expected.
func (r *run) compare(q *request, block irp.StatusBlock) error {
	if err := r.compareStatus(block.Status); err != nil {
		return err
	}
	if v, ok := r.step.expect["information"]; ok && uint64(block.Information) != v.count {
		return fmt.Errorf("information is %d, expected %d", block.Information, v.count)
	}
	var o outcome
	if q.outcome != nil {
		o = q.outcome(block)
	}
	return r.compareOutcome(r.step, o)
}

// compareOutcome compares what a call gave besides its status.
func (r *run) compareOutcome(st *step, o outcome) error {
	if err := compareData(st, o.data); err != nil {
		return err
	}
	for k, v := range st.expect {
		var got, want any
		switch k {
		case "value":
			got, want = o.value, v.count
		case "node":
			got, want = o.node, v.text
		case "addresses":
			got, want = strings.Join(o.addresses, " "), strings.Join(r.written(v.list), " ")
		case "truncated":
			got, want = o.truncated, v.yes
		case "address":
			a, err := r.expectedAddress(v.text)
			if err != nil {
				return err
			}
			got, want = o.address, a
		case "in-syn", "in-syn-accepted":
			if r.world.InSYN == nil {
				continue
			}
			sent, accepted := r.world.InSYN()
			got, want = uint64(sent), v.count
			if k == "in-syn-accepted" {
				got = uint64(accepted)
			}
		}
		if got != want {
			return fmt.Errorf("%s is %v, expected %v", k, got, want)
		}
	}
	return nil
}

// written puts the peer's address in the place of the word.
func (r *run) written(list []string) []string {
	out := slices.Clone(list)
	for i, a := range out {
		if a == "peer" {
			out[i] = r.world.PeerAddr.String()
		}
	}
	return out
}

func (r *run) expectedAddress(text string) (string, error) {
	if text == "peer" {
		return r.peers.service.String(), nil
	}
	if a, ok := r.addrs[text]; ok {
		return a.AddrPort().String(), nil
	}
	if a, err := netip.ParseAddrPort(text); err == nil {
		return a.String(), nil
	}
	return "", fmt.Errorf("there is no address %q to compare with", text)
}

// compareData compares bytes.
func compareData(st *step, got []byte) error {
	if v, ok := st.expect["data"]; ok && string(got) != v.text {
		return fmt.Errorf("data is %s, expected %s", quote(got), quote([]byte(v.text)))
	}
	if v, ok := st.expect["size"]; ok && !bytes.Equal(got, pattern(int(v.count))) {
		return fmt.Errorf("data is %s, expected %d bytes of the pattern", quote(got), v.count)
	}
	return nil
}

// compareStatus compares a request's status with the expected one, STATUS_SUCCESS unless
// given.
func (r *run) compareStatus(got ntstatus.Status) error {
	want := ntstatus.Success
	if v, ok := r.step.expect["status"]; ok {
		want = v.status
	}
	if got != want {
		return fmt.Errorf("status is %v, expected %v", got, want)
	}
	return nil
}
