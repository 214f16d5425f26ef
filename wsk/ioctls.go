package wsk

import (
	"encoding/binary"
	"time"

	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// ioctl is one row of the table of ioctls: those that do something, and those whose
// refusal is not STATUS_NOT_SUPPORTED.
type ioctl struct {
	code     uint32
	fn       function // the row of the state table
	bare     bool     // it comes without an IRP
	stream   bool     // only on sockets that can connect
	datagram bool     // only on datagram sockets
	do       func(*flow, *ioctlRequest) ntstatus.Status
}

// ioctlRequest is what a call brings along.
type ioctlRequest struct {
	op            *op // nil without an IRP
	code          uint32
	input, output []byte
	size          uint64 // bytes written, or needed
}

// ioctlTable is never written to. What is not in it is not supported.
var ioctlTable = [...]ioctl{
	{code: SIO_WSK_SET_REMOTE_ADDRESS, fn: fnFixAddress, datagram: true, do: (*flow).setPeer},
	{code: SIO_WSK_SET_SENDTO_ADDRESS, fn: fnFixAddress, datagram: true, do: (*flow).setPeer},
	{code: SIO_WSK_QUERY_IDEAL_SEND_BACKLOG, fn: fnQueryBacklog, do: (*flow).queryBacklog},
	{code: SIO_WSK_QUERY_RECEIVE_BACKLOG, fn: fnQueryBacklog, do: (*flow).queryBacklog},
	{code: SIO_WSK_SET_TCP_SILENT_MODE, fn: fnSilence, stream: true, do: (*flow).silence},
	{code: SIO_KEEPALIVE_VALS, fn: fnControl, do: (*flow).keepAliveValues},
	{code: SIO_WSK_QUERY_INSPECT_ID, fn: fnControl, bare: true, do: (*flow).queryInspectID},
	{code: SIO_ADDRESS_LIST_QUERY, fn: fnControl, bare: true, do: (*flow).queryAddresses},
	{code: SIO_ADDRESS_LIST_CHANGE, fn: fnControl, do: (*flow).awaitAddresses},
	{code: SIO_ADDRESS_LIST_SORT, fn: fnControl, do: (*flow).sortAddresses},
	{code: SIO_WSK_REGISTER_EXTENSION, fn: fnControl, bare: true, do: refuseWith(ntstatus.NotSupported)}, // no extension is defined
	{code: SIO_LOOPBACK_FAST_PATH, fn: fnControl, do: (*flow).loopbackFastPath},
	{code: SIO_QUERY_WFP_CONNECTION_REDIRECT_RECORDS, fn: fnControl, do: refuseWith(ntstatus.NotFound)},
	{code: SIO_QUERY_WFP_CONNECTION_REDIRECT_CONTEXT, fn: fnControl, do: refuseWith(ntstatus.NotFound)},
}

func refuseWith(status ntstatus.Status) func(*flow, *ioctlRequest) ntstatus.Status {
	return func(*flow, *ioctlRequest) ntstatus.Status { return status }
}

// has reports whether a socket has the ioctl.
func (c *ioctl) has(f *flow) bool {
	switch flag := f.category.flag; {
	case c.datagram:
		return flag == FlagDatagramSocket
	case c.stream:
		return flag == FlagConnectionSocket || flag == FlagStreamSocket
	}
	return true
}

// ioctl is WskControlSocket with WskIoctl.
func (f *flow) ioctl(code uint32, input, output []byte, returned *uint64, i *irp.IRP) ntstatus.Status {
	r := &ioctlRequest{code: code, input: input, output: output}
	var row *ioctl
	for k := range ioctlTable {
		if c := &ioctlTable[k]; c.code == code && (f == nil || c.has(f)) {
			row = c
		}
	}
	switch {
	case row == nil:
		return f.call(fnControl, i, func(*op) ntstatus.Status { return ntstatus.NotSupported })
	case row.bare && i != nil:
		return f.call(fnControl, i, func(*op) ntstatus.Status { return f.fail(FaultIRP, ntstatus.InvalidParameter) })
	case row.bare:
		status := f.sync(row.fn, func() ntstatus.Status { return row.do(f, r) })
		if returned != nil {
			*returned = r.size
		}
		return status
	}
	return f.call(row.fn, i, func(o *op) ntstatus.Status {
		r.op = o
		return row.do(f, r)
	})
}

// answer writes what an ioctl returns.
func (r *ioctlRequest) answer(f *flow, b []byte) ntstatus.Status {
	if len(r.output) < len(b) {
		return f.fail(FaultOutput, ntstatus.BufferTooSmall)
	}
	r.size = uint64(copy(r.output, b))
	if r.op != nil {
		r.op.result.Information = uintptr(r.size)
	}
	return ntstatus.Success
}

// answerSize writes a SIZE_T.
func (r *ioctlRequest) answerSize(f *flow, n int) ntstatus.Status {
	return r.answer(f, binary.LittleEndian.AppendUint64(nil, uint64(max(n, 0))))
}

// keepAliveValues is SIO_KEEPALIVE_VALS: on or off, and two times in milliseconds.
func (f *flow) keepAliveValues(r *ioctlRequest) ntstatus.Status {
	if f.options.socketType != SOCK_STREAM {
		return ntstatus.NotSupported
	}
	if len(r.input) < 12 {
		return f.fail(FaultFlags, ntstatus.InvalidParameter)
	}
	changed := *f.options
	if changed.keepAlive = binary.LittleEndian.Uint32(r.input) != 0; changed.keepAlive {
		idle, interval := binary.LittleEndian.Uint32(r.input[4:]), binary.LittleEndian.Uint32(r.input[8:])
		if idle == 0 || interval == 0 || idle > maxSeconds*1000 || interval > maxSeconds*1000 {
			return f.fail(FaultFlags, ntstatus.InvalidParameter)
		}
		changed.keepIdle, changed.keepInterval = time.Duration(idle)*time.Millisecond, time.Duration(interval)*time.Millisecond
	}
	if status, work := f.allow(fnControl); !work {
		return status
	}
	if err := f.tell(&option{apply: options.applyKeepAlive}, changed); err != nil {
		return statusOf(err, setting)
	}
	f.options = f.client.provider.share(changed)
	return ntstatus.Success
}

// loopbackFastPath is SIO_LOOPBACK_FAST_PATH, which has no meaning here, and is
// deprecated there.
func (f *flow) loopbackFastPath(r *ioctlRequest) ntstatus.Status {
	if len(r.input) < 4 {
		return f.fail(FaultFlags, ntstatus.InvalidBufferSize)
	}
	return ntstatus.NotSupported
}

// awaitAddresses is SIO_ADDRESS_LIST_CHANGE. A network has the same addresses for as long
// as it is there, so what ends the wait is what ends the socket, or a cancel.
func (f *flow) awaitAddresses(r *ioctlRequest) ntstatus.Status {
	if status, work := f.allow(fnControl); !work {
		return status
	}
	if _, status := f.client.provider.addresses(); status != ntstatus.Success {
		return status
	}
	r.op.kind = kindListChange
	f.waits.add(r.op)
	return ntstatus.Pending
}

// queryAddresses is SIO_ADDRESS_LIST_QUERY: a count as u32, then the Bytes of a
// SockAddr for each address of the socket's family.
func (f *flow) queryAddresses(r *ioctlRequest) ntstatus.Status {
	if status, work := f.allow(fnControl); !work {
		return status
	}
	addresses, status := f.client.provider.addresses()
	if status != ntstatus.Success {
		return status
	}
	var list []SockAddr
	for _, a := range addresses {
		if a.Is4() == (f.family == AF_INET) {
			list = append(list, addressOf(a))
		}
	}
	return r.answerList(f, list)
}
