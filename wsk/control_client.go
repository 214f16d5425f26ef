package wsk

import (
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// ControlClient controls a registration (WskControlClient). It does not block. All
// codes but TransportListChange take no IRP: with one it completes the IRP with
// STATUS_INVALID_PARAMETER. outputSizeReturned may be nil but for TransportListQuery.
//
// SetStaticEventCallbacks takes the Bytes of an EventCallbackControl whose mask may
// mix the events of all categories: every socket made from then on has those of its
// category that its table has a callback for, from Bind or the connection on, for
// good. It answers STATUS_SUCCESS, STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED
// for another NpiID, or STATUS_INVALID_DEVICE_STATE once there was a socket.
//
// TransportListQuery fills output with the Bytes of a TransportEntry for each kind of
// socket, 28 bytes each, and *outputSizeReturned with their size; an output that is
// too small gets STATUS_BUFFER_OVERFLOW and the size that is needed.
// TransportListChange needs an IRP, and no outputSizeReturned: it pends until the list
// changes, which happens when the provider is stopped; Deregister cancels it.
//
// TDIDeviceNameMapping and TDIBehavior answer STATUS_SUCCESS and change nothing, as
// there is no TDI here. Security descriptors (CacheSD, ReleaseSD) have no meaning
// here: these and unknown codes answer STATUS_NOT_SUPPORTED. It answers STATUS_INVALID_PARAMETER for a nil or foreign
// client, and STATUS_DEVICE_NOT_READY after Stop or Deregister.
func (d *ProviderDispatch) ControlClient(client *Client, controlCode uint32, input, output []byte,
	outputSizeReturned *uint64, i *irp.IRP) ntstatus.Status {
	c := d.watch("ControlClient", client, i, nil)
	return c.leave(d.controlClient(c, client, controlCode, input, output, outputSizeReturned, i))
}

func (d *ProviderDispatch) controlClient(c *Call, client *Client, controlCode uint32, input, output []byte,
	outputSizeReturned *uint64, i *irp.IRP) ntstatus.Status {
	if controlCode == TransportListChange {
		return d.lookup(c, client, i, client.transportListChange)
	}
	var size uint64
	status := d.begin(c, client)
	if status == ntstatus.Success {
		defer client.end()
		status, size = client.control(controlCode, input, output, outputSizeReturned != nil && i == nil, i != nil)
	}
	switch {
	case status == ntstatus.InvalidDeviceState:
		c.fail(FaultState)
	case status == ntstatus.InvalidParameter && controlCode == SetStaticEventCallbacks:
		c.fail(FaultEvents)
	}
	if i != nil {
		c.fail(FaultIRP)
		return refuseIRP(c, i, status)
	}
	if outputSizeReturned != nil {
		*outputSizeReturned = size
	}
	return status
}

// control does what a code asks for.
func (c *Client) control(code uint32, input, output []byte, sized, withIRP bool) (ntstatus.Status, uint64) {
	switch code {
	case TransportListQuery, SetStaticEventCallbacks, TDIDeviceNameMapping, TDIBehavior:
	default:
		return ntstatus.NotSupported, 0
	}
	switch {
	case withIRP: // these are synchronous
		return ntstatus.InvalidParameter, 0
	case code == SetStaticEventCallbacks:
		return c.setStatic(input), 0
	case code == TransportListQuery && !sized:
		return ntstatus.InvalidParameter, 0
	case code == TransportListQuery:
		return c.provider.transportList(output)
	}
	return ntstatus.Success, 0
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
