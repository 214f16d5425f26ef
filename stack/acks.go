package stack

import (
	"hash/maphash"
	"sync"

	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// watchers finds the socket whose connection a segment belonged to. Netstack has
// no event for "the peer acknowledged": it tells writers only that half of a
// full buffer is free again. Its probe does: it is called after each segment of
// a connection, with the endpoint's lock held.
//
// The key is a hash of a connection's addresses, which alone are larger than all else
// that is kept of an idle one here; sockets that share one, as good as never, are
// linked.
type watchers struct {
	seed    maphash.Seed
	mu      sync.RWMutex // a leaf
	sockets map[uint64]*socket
}

func (w *watchers) start() { w.seed, w.sockets = maphash.MakeSeed(), make(map[uint64]*socket) }

// idOf is a connection's addresses, which netstack does not change any more.
func idOf(k *socket) gstack.TransportEndpointID { return k.ep.(*tcp.Endpoint).ID }

// add makes the socket's connection known; its addresses are fixed now.
func (w *watchers) add(k *socket) {
	hash := maphash.Comparable(w.seed, idOf(k))
	w.mu.Lock()
	defer w.mu.Unlock()
	k.hash = hash
	k.next, w.sockets[hash] = w.sockets[hash], k
}

// remove forgets the socket, if it is known.
func (w *watchers) remove(k *socket) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := w.sockets[k.hash]
	for at := &first; *at != nil; at = &(*at).next {
		if *at == k {
			*at, k.next = k.next, nil
			break
		}
	}
	if first == nil {
		delete(w.sockets, k.hash)
	} else {
		w.sockets[k.hash] = first
	}
}

// find is the socket that was last added for a connection.
func (w *watchers) find(id gstack.TransportEndpointID) *socket {
	hash := maphash.Comparable(w.seed, id)
	w.mu.RLock()
	defer w.mu.RUnlock()
	k := w.sockets[hash]
	for k != nil && idOf(k) != id {
		k = k.next
	}
	return k
}

// probe is called by netstack after each segment of a connection.
func (w *watchers) probe(state *tcp.TCPEndpointState) {
	if k := w.find(gstack.TransportEndpointID(state.ID)); k != nil {
		k.progressed(int64(state.SndBufState.SndBufUsed))
	}
}
