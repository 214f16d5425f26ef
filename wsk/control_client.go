package wsk

import (
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// ControlClient controls a registration (WskControlClient). It does not block and,
// for the codes below, takes no IRP: with one it completes the IRP with the status
// that it returns. outputSizeReturned may be nil.
//
// SetStaticEventCallbacks takes the Bytes of an EventCallbackControl whose mask may
// mix the events of all categories: every socket made from then on has those of its
// category that its table has a callback for, from Bind or the connection on, for
// good. It answers STATUS_SUCCESS, STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED
// for another NpiID, or STATUS_INVALID_DEVICE_STATE once there was a socket.
//
// TDIDeviceNameMapping and TDIBehavior answer STATUS_SUCCESS and change nothing, as
// there is no TDI here. Security descriptors (CacheSD, ReleaseSD) have no meaning
// here, and transport lists are not supported: these and unknown codes answer
// STATUS_NOT_SUPPORTED. It answers STATUS_INVALID_PARAMETER for a nil or foreign
// client, and STATUS_DEVICE_NOT_READY after Stop or Deregister.
func (d *ProviderDispatch) ControlClient(client *Client, controlCode uint32, input, output []byte,
	outputSizeReturned *uint64, i *irp.IRP) ntstatus.Status {
	status := d.begin(client)
	if status == ntstatus.Success {
		defer client.end()
		status = client.control(controlCode, input, i != nil)
	}
	if i != nil {
		return refuseIRP(i, status)
	}
	if outputSizeReturned != nil {
		*outputSizeReturned = 0
	}
	return status
}

// control does what a code asks for.
func (c *Client) control(code uint32, input []byte, withIRP bool) ntstatus.Status {
	switch code {
	case SetStaticEventCallbacks, TDIDeviceNameMapping, TDIBehavior:
	default:
		return ntstatus.NotSupported
	}
	if withIRP {
		return ntstatus.InvalidParameter // these are synchronous
	}
	if code == SetStaticEventCallbacks {
		return c.setStatic(input)
	}
	return ntstatus.Success
}

// setStatic turns callbacks on for all sockets to come.
func (c *Client) setStatic(input []byte) ntstatus.Status {
	mask, status := parseEventMask(input)
	if status != ntstatus.Success {
		return status
	}
	if mask == 0 || mask&^allEvents != 0 {
		return ntstatus.InvalidParameter
	}
	c.provider.mu.Lock()
	defer c.provider.mu.Unlock()
	if c.created {
		return ntstatus.InvalidDeviceState
	}
	c.static = mask
	return ntstatus.Success
}
