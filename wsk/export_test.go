package wsk

import (
	"net/netip"
	"syscall"

	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// What the tests of package wsk_test see of the inside.

type (
	Function  = function
	Happening = happening
	Kind      = kind
	End       = end
)

const (
	NumStates     = numStates
	NumFunctions  = numFunctions
	NumHappenings = numHappenings
	NumKinds      = numKinds
	NumEnds       = numEnds
)

const (
	FnBindListen, FnListen, FnAccept, FnInspectComplete     = fnBindListen, fnListen, fnAccept, fnInspectComplete
	FnBindConditional, FnSilence                            = fnBindConditional, fnSilence
	FnSendTo, FnReceiveFrom                                 = fnSendTo, fnReceiveFrom
	FnFixAddress, FnEventsDatagram                          = fnFixAddress, fnEventsDatagram
	FnEvents, FnQueryBacklog                                = fnEvents, fnQueryBacklog
	FnBind, FnConnect, FnSend, FnReceive                    = fnBind, fnConnect, fnSend, fnReceive
	FnDisconnect, FnAbort                                   = fnDisconnect, fnAbort
	FnGetLocalAddress, FnGetRemoteAddress                   = fnGetLocalAddress, fnGetRemoteAddress
	FnSetBeforeBind, FnSetBeforeConnect, FnControl, FnClose = fnSetBeforeBind, fnSetBeforeConnect, fnControl, fnClose
)

const (
	EndBroken, EndAborted, EndClosed, EndCancelled, EndWithdrawn = endBroken, endAborted, endClosed, endCancelled, endWithdrawn
	KindReceive, KindSend, KindDisconnect, KindConnect           = kindReceive, kindSend, kindDisconnect, kindConnect
	KindAccept                                                   = kindAccept
)

// Refuses reports whether the table refuses fn in s.
func Refuses(fn Function, s State) bool { return stateTable[fn][s] == cell{} }

// After is the table of happenings.
func After(s State, h Happening) State { return after(s, h) }

// StateOf returns a socket's state, Working whether its worker runs.
func (s *ConnectionSocket) StateOf() State { return s.f().stateOf() }
func (s *StreamSocket) StateOf() State     { return s.f().stateOf() }
func (s *ListenSocket) StateOf() State     { return s.f().stateOf() }
func (s *DatagramSocket) StateOf() State   { return s.f().stateOf() }
func (s *BasicSocket) StateOf() State      { return s.f().stateOf() }
func (s *ConnectionSocket) Working() bool  { return s.flow.kicks.Load() > 0 }
func (s *StreamSocket) Working() bool      { return s.flow.kicks.Load() > 0 }

// ErrnoRow is a row of the table of errnos.
type ErrnoRow struct {
	Errno  syscall.Errno
	During string
	Status ntstatus.Status
}

// ErrnoRows returns the table of errnos.
func ErrnoRows() []ErrnoRow {
	names := map[during]string{always: "always", binding: "binding", connecting: "connecting", setting: "setting"}
	var rows []ErrnoRow
	for _, r := range errnoTable {
		rows = append(rows, ErrnoRow{r.errno, names[r.during], r.status})
	}
	return rows
}

// StatusOf translates err.
func StatusOf(err error, when string) ntstatus.Status {
	return statusOf(err, map[string]during{"always": always, "binding": binding, "connecting": connecting, "setting": setting}[when])
}

// Segments returns what b describes.
func (b *Buf) Segments() ([][]byte, ntstatus.Status) { return b.segments() }

// stateOf is nil-safe: no socket is one that is closed.
func (f *flow) stateOf() State {
	if f == nil {
		return Closed
	}
	return f.describe().State
}

// Left returns how much a socket still holds on to: requests, indications and bytes.
func (s *ConnectionSocket) Left() int { return s.f().left() }
func (s *StreamSocket) Left() int     { return s.f().left() }
func (s *ListenSocket) Left() int     { return s.f().left() }
func (s *DatagramSocket) Left() int   { return s.f().left() }
func (s *BasicSocket) Left() int      { return s.f().left() }

func (f *flow) left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.finished) + int(f.calls)
	for _, q := range []queue{f.waits, f.accepts, f.recvs, f.sends} {
		for o := q.first; o != nil; o = o.next {
			n++
		}
	}
	if f.connect != nil || f.closing != nil {
		n++
	}
	n += len(f.in.held) + len(f.in.retained) + f.in.bytes
	if f.dg == nil {
		return n
	}
	return n + len(f.dg.held) + len(f.dg.retained) + f.dg.bytes
}

// ParseSockAddr reads a binary address, SendControl a sender's control messages.
func ParseSockAddr(b []byte) (SockAddr, bool) { return parseSockAddr(b) }
func SendControl(list []byte) ntstatus.Status { _, status := sendControl(list); return status }

// Hooks calls every hook of a call once, as a request without trouble does.
func Hooks(s *ConnectionSocket, segs [][]byte) {
	c := s.flow.watch("Receive", nil, nil)
	_ = c.admit()
	_ = c.memory(segs, true)
	c.completing(irp.StatusBlock{})
	c.leave(ntstatus.Success)
	s.flow.calling(EventReceive, nil, nil, false).answered(ntstatus.Success, 0, 0)
}

// OwnOptions are level and code of every option in the provider's table, OwnIoctls the
// codes of every ioctl.
func OwnOptions() (all [][2]uint32) {
	for _, o := range optionTable {
		all = append(all, [2]uint32{o.level, o.code})
	}
	return all
}

func OwnIoctls() (all []uint32) {
	for _, c := range ioctlTable {
		all = append(all, c.code)
	}
	return all
}

// SortDestinations is for the tests of package wsk_test.
func SortDestinations(list []SockAddr, own []netip.Addr) { sortDestinations(list, own) }
