package tun

// OwnNetns is for the tests of package tun_test.
var OwnNetns = ownNetns

// CloseQueue closes the descriptor of one queue, which no caller can.
func CloseQueue(d *Device, queue int) error { return d.files[queue].Close() }
