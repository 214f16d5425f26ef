// Package report is what the commands tell programs: the objects that they
// print with --json.
//
//	demo --json     one Demo
//	connect --json  one Run for each connection, one to a line
//	listen --json   one Served for each connection, one to a line
//
// Plain data, no state.
package report

import (
	"math"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/test/kernelpeer"
)

// Demo is the result of the demo.
type Demo struct {
	// Wire is "tun", "userns-tun", "veth" or "memory", Peer "linux-kernel" or
	// "wskstack".
	Wire string `json:"wire"`
	Peer string `json:"peer"`
	// OneWayDelayMS is the delay that the demo put on the wire, each way.
	OneWayDelayMS float64 `json:"one_way_delay_ms"`
	Runs          []Run   `json:"runs"`
	// PeerCounters is how far the peer's Fast Open counters moved over the demo.
	PeerCounters kernelpeer.Counters `json:"peer_counters"`
	// OK: every claim that the demo makes held.
	OK bool `json:"ok"`
}

// Run is one connection, or the fastest of several of the same kind.
type Run struct {
	Name string `json:"name"`
	// Family is "ipv4" or "ipv6".
	Family string `json:"family"`
	// Bytes is the length of the request.
	Bytes int `json:"bytes"`
	// BytesInSYN is how many of them left in the first SYN, BytesAcceptedInSYN
	// how many of those the SYN-ACK acknowledged.
	BytesInSYN         int `json:"bytes_in_syn"`
	BytesAcceptedInSYN int `json:"bytes_accepted_in_syn"`
	// TTFBms is the time from the call that connects to the first byte of the
	// answer, in milliseconds; 0 if none came.
	TTFBms float64 `json:"ttfb_ms"`
	// RoundTrips is that time divided by the path's round trip, rounded to a
	// whole number; 0 if no answer came, or if the round trip was shorter than
	// MinRoundTrip.
	RoundTrips int `json:"round_trips"`
	// FastOpen: the peer accepted bytes from the SYN.
	FastOpen bool `json:"fast_open"`
	// Reason says why not all bytes were accepted in the SYN; empty if they were.
	Reason string `json:"reason"`
	// AcceptedBeforeACK, of runs in which this stack is the server: the answer to
	// the request had left before the client's ACK of the SYN-ACK came, so the
	// request was read before the handshake was over.
	AcceptedBeforeACK *bool `json:"accepted_before_ack,omitempty"`
}

// Served is one connection that was accepted.
type Served struct {
	Name string `json:"name"`
	// Remote is the client's address and port, Family "ipv4" or "ipv6".
	Remote string `json:"remote"`
	Family string `json:"family"`
	// BytesReceived and BytesSent count the stream both ways.
	BytesReceived int64 `json:"bytes_received"`
	BytesSent     int64 `json:"bytes_sent"`
	// BytesInSYN is how many bytes came in the SYN that opened the connection,
	// BytesAcceptedInSYN how many of them were delivered before the handshake was
	// over. Both are 0 for a connection that was opened in the ordinary way.
	BytesInSYN         int `json:"bytes_in_syn"`
	BytesAcceptedInSYN int `json:"bytes_accepted_in_syn"`
	// FastOpen: bytes from the SYN were accepted.
	FastOpen bool `json:"fast_open"`
	// Reason says why not; empty if they were.
	Reason string `json:"reason"`
	// Error says what ended the connection, if it was not its two ends.
	Error string `json:"error"`
}

// Family is the word for an address family in reports: 4 or 6.
func Family(family int) string {
	if family == 6 {
		return "ipv6"
	}
	return "ipv4"
}

// Milliseconds is a time in the unit of reports, to the microsecond.
func Milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Microsecond)) / 1000
}

// MinRoundTrip is the shortest round trip that times are counted in. On a shorter
// path most of a time is the two machines' own, and its round trips would be
// another number each time.
const MinRoundTrip = time.Millisecond

// RoundTrips is how many round trips of the given length a time stands for,
// rounded to a whole number; 0 if they are shorter than MinRoundTrip.
func RoundTrips(d, rtt time.Duration) int {
	if rtt < MinRoundTrip {
		return 0
	}
	return int(math.Round(float64(d) / float64(rtt)))
}

// Reason says why not all of so many bytes were accepted in the SYN, in a word;
// it is empty if they were.
func Reason(o fastopen.Outcome, bytes int) string {
	if o.Reason == tfo.ReasonNone && o.BytesAccepted < bytes {
		return "larger-than-a-syn"
	}
	return o.Reason.String()
}
