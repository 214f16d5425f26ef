package sim

import (
	"fmt"
	"sync"
	"time"

	"github.com/wskstack/wskstack/stack/stacktest"
)

// totals says what many runs did, so that one can see that they did something.
type totals struct {
	mu                                         sync.Mutex
	runs, packets, connections, failed         int // guarded by mu, as is the rest
	inSYN, accepted, partly, refused, repeated int
	passive, replays                           uint64
	took                                       time.Duration
}

func (s *totals) run(r stacktest.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	s.packets += r.Packets
	s.took += r.Took
}

func (s *totals) add(results []*result, w *world) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range results {
		o := r.outcome
		s.connections++
		if r.err != nil {
			s.failed++
		}
		if o.SYNRetransmitted {
			s.repeated++
		}
		switch {
		case o.BytesInSYN == 0:
			continue
		case o.BytesAccepted == o.BytesInSYN:
			s.accepted++
		case o.BytesAccepted > 0:
			s.partly++
		default:
			s.refused++
		}
		s.inSYN++
	}
	if w.listener.Fast() == nil {
		return
	}
	server := w.listener.Fast().Stats()
	s.passive += server.TCPFastOpenPassive
	s.replays += server.ReplaysDropped
}

func (s *totals) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("%d runs, %d connections (%d failed with an error), %d packets, %v of virtual time; "+
		"%d SYNs with data: %d accepted, %d partly, %d not; %d SYNs repeated; servers opened %d, dropped %d replays",
		s.runs, s.connections, s.failed, s.packets, s.took.Round(time.Second),
		s.inSYN, s.accepted, s.partly, s.refused, s.repeated, s.passive, s.replays)
}
