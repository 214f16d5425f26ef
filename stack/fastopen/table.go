package fastopen

import (
	"net/netip"
	"sync"
)

// key is a connection as seen from here.
type key struct{ local, remote netip.AddrPort }

// table finds the opening of a packet. Openings are in it from their SYN until
// they are over.
type table struct {
	mu       sync.RWMutex
	openings map[key]opening // guarded by mu
}

func (t *table) get(k key) opening {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.openings[k]
}

// put enters o and returns the opening that it displaces: an earlier connection
// between the same ports.
func (t *table) put(k key, o opening) (old opening) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old = t.openings[k]
	t.enter(k, o)
	return old
}

// putNew enters o, unless there is one between the same ports, which it returns
// then.
func (t *table) putNew(k key, o opening) (had opening) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if had = t.openings[k]; had == nil {
		t.enter(k, o)
	}
	return had
}

// enter is called with mu held.
func (t *table) enter(k key, o opening) {
	if t.openings == nil {
		t.openings = make(map[key]opening)
	}
	t.openings[k] = o
}

// remove takes o out, unless another has taken its place.
func (t *table) remove(k key, o opening) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.openings[k] == o {
		delete(t.openings, k)
	}
}

func (t *table) all() []opening {
	t.mu.RLock()
	defer t.mu.RUnlock()
	all := make([]opening, 0, len(t.openings))
	for _, o := range t.openings {
		all = append(all, o)
	}
	return all
}
