package stack

// WhenLate has f called when the write deadline has passed, before anything else is
// told of it. Only for a connection that nobody else has.
func (c *TCPConn) WhenLate(f func()) {
	reached := c.writes.by.reached
	c.writes.by.reached = func() { f(); reached() }
}
