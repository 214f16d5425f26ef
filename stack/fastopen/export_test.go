package fastopen

import "runtime"

// Flush returns when nothing that was made is on its way up any more.
func (l *Link) Flush() {
	for {
		l.up.mu.Lock()
		idle := len(l.up.items) == 0 && !l.up.draining
		l.up.mu.Unlock()
		if idle {
			return
		}
		l.up.wake()
		runtime.Gosched()
	}
}
