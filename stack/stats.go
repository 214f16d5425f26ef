package stack

// Stats is a snapshot of what TCP has done since New. The names are netstack's.
type Stats struct {
	// Sockets counts the endpoints that live, closed ones that are still
	// delivering included.
	Sockets int

	ActiveOpenings, PassiveOpenings, FailedConnects                 uint64
	Established, EstablishedResets, EstablishedTimedOut             uint64
	SegmentsSent, SegmentsReceived, InvalidSegments, ChecksumErrors uint64
	ResetsSent, ResetsReceived                                      uint64
	Retransmits, FastRetransmits, Timeouts, SACKRecoveries          uint64
	ListenOverflowSYN, ListenOverflowACK                            uint64
	SYNCookiesSent, SYNCookiesReceived                              uint64
}

// Stats returns the counters; Established is how many connections are so now.
func (s *Stack) Stats() Stats {
	t := s.ns.Stats().TCP
	st := Stats{
		ActiveOpenings:      t.ActiveConnectionOpenings.Value(),
		PassiveOpenings:     t.PassiveConnectionOpenings.Value(),
		FailedConnects:      t.FailedConnectionAttempts.Value(),
		Established:         t.CurrentEstablished.Value(),
		EstablishedResets:   t.EstablishedResets.Value(),
		EstablishedTimedOut: t.EstablishedTimedout.Value(),
		SegmentsSent:        t.SegmentsSent.Value(),
		SegmentsReceived:    t.ValidSegmentsReceived.Value(),
		InvalidSegments:     t.InvalidSegmentsReceived.Value(),
		ChecksumErrors:      t.ChecksumErrors.Value(),
		ResetsSent:          t.ResetsSent.Value(),
		ResetsReceived:      t.ResetsReceived.Value(),
		Retransmits:         t.Retransmits.Value(),
		FastRetransmits:     t.FastRetransmit.Value(),
		Timeouts:            t.Timeouts.Value(),
		SACKRecoveries:      t.SACKRecovery.Value(),
		ListenOverflowSYN:   t.ListenOverflowSynDrop.Value(),
		ListenOverflowACK:   t.ListenOverflowAckDrop.Value(),
		SYNCookiesSent:      t.ListenOverflowSynCookieSent.Value(),
		SYNCookiesReceived:  t.ListenOverflowSynCookieRcvd.Value(),
	}
	s.mu.Lock()
	st.Sockets = len(s.sockets)
	s.mu.Unlock()
	return st
}
