package stack

import (
	"sync"

	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// watchers finds the socket whose connection a segment belonged to. Netstack has
// no event for "the peer acknowledged": it tells writers only that half of a
// full buffer is free again. Its probe does: it is called after each segment of
// a connection, with the endpoint's lock held.
type watchers struct {
	mu      sync.RWMutex // a leaf
	sockets map[gstack.TransportEndpointID]*socket
}

// add makes the socket's connection known; its addresses are fixed now.
func (w *watchers) add(k *socket) {
	id := k.ep.Info().(*gstack.TransportEndpointInfo).ID
	w.mu.Lock()
	k.id, k.watched = id, true
	w.sockets[id] = k
	w.mu.Unlock()
}

// remove forgets the socket, unless its ports belong to another one by now.
func (w *watchers) remove(k *socket) {
	w.mu.Lock()
	if k.watched && w.sockets[k.id] == k {
		delete(w.sockets, k.id)
	}
	k.watched = false
	w.mu.Unlock()
}

// probe is called by netstack after each segment of a connection.
func (w *watchers) probe(state *tcp.TCPEndpointState) {
	w.mu.RLock()
	k := w.sockets[gstack.TransportEndpointID(state.ID)]
	w.mu.RUnlock()
	if k != nil {
		k.progressed(int64(state.SndBufState.SndBufUsed))
	}
}
