package stack

import (
	"context"

	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// Shutdown ends the stack in good order: it closes every listener and lets none be
// made, waits until every TCP connection has been closed by its user and has delivered
// what was written to it, or until ctx ends, and then does what Close does. Connections
// may still be dialled meanwhile. The error is that of ctx if it ended first. Nobody is
// asked to close a connection; that is for the programs that use them.
func (s *Stack) Shutdown(ctx context.Context) error {
	if ctx == nil {
		ctx = context.Background()
	}
	stirred := newSignal()
	s.mu.Lock()
	s.stopping = true
	s.drains[stirred] = struct{}{}
	s.draining.Add(1)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.drains, stirred)
		s.draining.Add(-1)
	}()
	for _, k := range s.allSockets() {
		k.owner.stopListening()
	}
	var err error
	for err == nil && !s.drained() {
		select {
		case <-stirred:
		case <-ctx.Done():
			err = ended(ctx)
		}
	}
	_ = s.Close() // returns nil, as documented
	return err
}

// drained says whether no TCP connection is open. One that is in TIME-WAIT is not: it
// has been closed by both sides, and all has been delivered.
func (s *Stack) drained() bool {
	for _, k := range s.allSockets() {
		k.mu.Lock()
		over := k.closed && (k.dead || tcp.EndpointState(k.ep.State()) == tcp.StateTimeWait)
		k.mu.Unlock()
		if !over {
			return false
		}
	}
	return true
}

// stir lets Shutdown look again. It may be called with netstack's locks held.
func (s *Stack) stir() {
	if s.draining.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.drains {
		signal(c)
	}
}

// stopListening closes the endpoint if it listens.
func (e *Endpoint) stopListening() {
	e.mu.RLock()
	listening, k := e.phase == phaseListening, e.sock
	e.mu.RUnlock()
	if listening {
		_ = e.Close() // fails only when it has been closed meanwhile
		k.wake()
	}
}
