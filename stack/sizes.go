package stack

// SendBufferSize is the size of the send buffer in bytes as it is now, which grows
// with the congestion window unless it was set; 0 if the endpoint has been closed.
func (e *Endpoint) SendBufferSize() int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.sock == nil || e.phase == phaseClosed {
		return 0
	}
	return int(e.sock.ep.SocketOptions().GetSendBufferSize())
}

// ReceiveBufferSize is the size of the receive buffer in bytes as it is now, which
// grows with what arrives unless it was set; 0 if the endpoint has been closed.
func (e *Endpoint) ReceiveBufferSize() int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.sock == nil || e.phase == phaseClosed {
		return 0
	}
	return int(e.sock.ep.SocketOptions().GetReceiveBufferSize())
}
