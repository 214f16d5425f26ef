package demo

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/report"
	"github.com/wskstack/wskstack/test/kernelpeer"
)

// Shown is a run for people.
type Shown struct {
	Run report.Run
	// How says which calls were used.
	How string
	// Times are the times to the first byte of all connections made; the fastest
	// is reported.
	Times []time.Duration
	Notes []string
	parts []part
	rtt   time.Duration
	// peer and client name the peer's side of a ladder, as a server and as a client.
	peer, client string
}

func (r *rig) shown(res result) Shown {
	return Shown{
		Run: res.Run, How: res.how, Times: res.times, Notes: res.notes,
		parts: res.parts, rtt: r.rtt(),
		peer: side(r.peer.name(), "server"), client: side(r.peer.name(), "client"),
	}
}

// side names the peer's side of a ladder.
func side(peer, half string) string {
	if peer == peerSelf {
		return "wskstack, " + half + " half"
	}
	return peer
}

// Text is a Listener that writes for people. Bold, Good and Bad mark words, for a
// terminal in colour, say; nil leaves them as they are.
type Text struct {
	W               io.Writer
	Bold, Good, Bad func(string) string
}

func mark(f func(string) string, s string) string {
	if f == nil {
		return s
	}
	return f(s)
}

// Began implements Listener.
func (t *Text) Began(s Setting) {
	fmt.Fprintf(t.W, "wire   %s: %s (%s)\n", mark(t.Bold, s.Wire), s.WireText, s.Why)
	fmt.Fprintf(t.W, "peer   %s: %s\n", mark(t.Bold, s.Peer), s.PeerText)
	fmt.Fprintf(t.W, "path   %s, %v each way, so a round trip is %v\n", report.Family(s.Family), s.Delay, 2*s.Delay)
	fmt.Fprintf(t.W, "shown  packets below the Fast Open layer, at both ends of that delay: left the time at\n"+
		"       the stack, right that at the peer, in ms; sequence numbers count from each SYN's\n")
}

// Ran implements Listener.
func (t *Text) Ran(s Shown) {
	fmt.Fprintf(t.W, "\n%s: %s\n", mark(t.Bold, s.Run.Name), s.How)
	for _, p := range s.parts {
		if p.heading != "" {
			fmt.Fprintf(t.W, "  %s\n", p.heading)
		}
		// A writer that fails, fails for all that follows too.
		client, server := "wskstack", s.peer
		if p.served {
			client, server = s.client, "wskstack"
		}
		_ = p.trace.Draw(t.W, client, server)
	}
	r := s.Run
	fmt.Fprintf(t.W, "  %d bytes, %d in the SYN, %d of these accepted%s\n", r.Bytes, r.BytesInSYN, r.BytesAcceptedInSYN, because(r.Reason))
	if len(s.Times) > 0 {
		fmt.Fprintf(t.W, "  first byte of the answer after %s: %.1f ms / %v = %s%s\n",
			mark(t.Bold, fmt.Sprintf("%.1f ms", r.TTFBms)), r.TTFBms, s.rtt,
			mark(t.Bold, plural(r.RoundTrips, "round trip")), fastest(s.Times))
	}
	for _, note := range s.Notes {
		fmt.Fprintf(t.W, "  %s\n", note)
	}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

// fastest says how the reported time was chosen.
func fastest(times []time.Duration) string {
	switch {
	case len(times) < 2:
		return ""
	case len(times) > maxTries:
		return fmt.Sprintf(" (fastest of %d: the machine is busy)", len(times))
	}
	var all []string
	for _, d := range times {
		all = append(all, fmt.Sprintf("%.1f", report.Milliseconds(d)))
	}
	return fmt.Sprintf(" (fastest of %d: %s)", len(times), strings.Join(all, ", "))
}

// Ended implements Listener.
func (t *Text) Ended(claims []Claim, c kernelpeer.Counters) {
	fmt.Fprintf(t.W, "\npeer counters over the demo: TCPFastOpenPassive %d, TCPFastOpenPassiveFail %d, TCPFastOpenCookieReqd %d, TCPFastOpenListenOverflow %d, TCPFastOpenActive %d\n",
		c.Passive, c.PassiveFail, c.CookieReqd, c.ListenOverflow, c.Active)
	fmt.Fprintf(t.W, "\n%s\n", mark(t.Bold, "verdict"))
	failed := 0
	for _, claim := range claims {
		word := mark(t.Good, "true ")
		if !claim.True {
			word = mark(t.Bad, "FALSE")
			failed++
		}
		fmt.Fprintf(t.W, "  %s  %s\n", word, claim.Text)
	}
	if failed > 0 {
		fmt.Fprintf(t.W, "%s\n", mark(t.Bad, fmt.Sprintf("%d of %d claims are false", failed, len(claims))))
		return
	}
	fmt.Fprintf(t.W, "%s\n", mark(t.Good, fmt.Sprintf("all %d claims hold", len(claims))))
}
