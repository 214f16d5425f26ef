package fastopen

import (
	"net/netip"
	"sync"
)

// key is a connection as seen from here.
type key struct{ local, remote netip.AddrPort }

// table finds the flow of a packet that comes up. Flows are in it from their SYN
// until their opening is over.
type table struct {
	mu    sync.RWMutex
	flows map[key]*Flow // guarded by mu
}

func (t *table) get(k key) *Flow {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.flows[k]
}

// put enters f and returns the flow that it displaces: an earlier connection
// between the same ports.
func (t *table) put(k key, f *Flow) (old *Flow) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.flows == nil {
		t.flows = make(map[key]*Flow)
	}
	old = t.flows[k]
	t.flows[k] = f
	return old
}

// remove takes f out, unless another has taken its place.
func (t *table) remove(k key, f *Flow) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.flows[k] == f {
		delete(t.flows, k)
	}
}

func (t *table) all() []*Flow {
	t.mu.RLock()
	defer t.mu.RUnlock()
	flows := make([]*Flow, 0, len(t.flows))
	for _, f := range t.flows {
		flows = append(flows, f)
	}
	return flows
}
