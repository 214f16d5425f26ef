// Demojson checks what "wskstackd demo --json" printed, read from its standard
// input, against the claims that the demo makes.
//
//	go run ./cmd/wskstackd demo --json | go run ./test/coverage/demojson --wire tun --peer linux-kernel
//
// Whatever the wire: "ok" is true, every run is there, the fast-open run has all
// its bytes in the SYN, all accepted, one round trip, and a time to first byte
// within 15 % of one round trip of the delay; connect-then-send has two of each. In the
// server-fast-open run, too, all bytes came in the SYN and were accepted, in one round
// trip, and before the client's ACK.
// --wire and --peer list, separated by commas, what else is acceptable there.
//
// Exit codes: 0 every claim holds, 1 one does not, 2 wrong usage or input that is
// not the demo's.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
)

const (
	exitOK    = 0
	exitFalse = 1
	exitUsage = 2
)

// tolerance is how far a time to first byte may be from the round trips it
// stands for, as a part of them.
const tolerance = 0.15

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("demojson", flag.ContinueOnError)
	flags.SetOutput(stderr)
	wires := flags.String("wire", "tun,userns-tun,veth,memory", "acceptable values of \"wire\"")
	peers := flags.String("peer", "linux-kernel,wskstack", "acceptable values of \"peer\"")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitOK
		}
		return exitUsage
	}
	var d demo
	dec := json.NewDecoder(stdin)
	if err := dec.Decode(&d); err != nil {
		fmt.Fprintln(stderr, "demojson: the input is not the demo's JSON:", err)
		return exitUsage
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		fmt.Fprintln(stderr, "demojson: more than one object in the input")
		return exitUsage
	}
	faults := d.check(strings.Split(*wires, ","), strings.Split(*peers, ","))
	for _, fault := range faults {
		fmt.Fprintln(stdout, "demo:", fault)
	}
	if len(faults) > 0 {
		return exitFalse
	}
	fmt.Fprintf(stdout, "demo: wire %s, peer %s, %d runs, every claim holds\n", d.Wire, d.Peer, len(d.Runs))
	return exitOK
}

// demo is the object that the demo prints, as far as it is checked.
type demo struct {
	Wire          string           `json:"wire"`
	Peer          string           `json:"peer"`
	OneWayDelayMS float64          `json:"one_way_delay_ms"`
	Runs          []runResult      `json:"runs"`
	PeerCounters  map[string]int64 `json:"peer_counters"`
	OK            bool             `json:"ok"`
}

type runResult struct {
	Name               string  `json:"name"`
	Family             any     `json:"family"`
	Bytes              int     `json:"bytes"`
	BytesInSYN         int     `json:"bytes_in_syn"`
	BytesAcceptedInSYN int     `json:"bytes_accepted_in_syn"`
	TTFBms             float64 `json:"ttfb_ms"`
	RoundTrips         float64 `json:"round_trips"`
	FastOpen           any     `json:"fast_open"`
	Reason             *string `json:"reason"`
	AcceptedBeforeACK  *bool   `json:"accepted_before_ack"`
}

// runNames are the runs that every demo has.
func runNames() []string {
	return []string{"connect-then-send", "cookie-request", "fast-open", "fast-open-large", "syn-data-dropped", "cancel", "server-fast-open"}
}

// check returns one line for each claim that does not hold.
func (d demo) check(wires, peers []string) []string {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if !d.OK {
		fault("ok is false")
	}
	if !slices.Contains(wires, d.Wire) {
		fault("wire is %q, want one of %q", d.Wire, wires)
	}
	if !slices.Contains(peers, d.Peer) {
		fault("peer is %q, want one of %q", d.Peer, peers)
	}
	if d.OneWayDelayMS <= 0 {
		fault("one_way_delay_ms is %v", d.OneWayDelayMS)
	}
	if d.PeerCounters == nil {
		fault("peer_counters is missing")
	}
	for _, name := range []string{"TCPFastOpenPassive", "TCPFastOpenActive"} {
		if d.Peer == "linux-kernel" && d.PeerCounters[name] < 1 {
			fault("the kernel counted no %s: %v", name, d.PeerCounters)
		}
	}
	runs := map[string]runResult{}
	for _, r := range d.Runs {
		if r.Family == nil || r.FastOpen == nil || r.Reason == nil {
			fault("run %s lacks family, fast_open or reason", r.Name)
		}
		runs[r.Name] = r
	}
	for _, name := range runNames() {
		if _, there := runs[name]; !there {
			fault("run %s is missing", name)
		}
	}
	faults = append(faults, d.checkTime(runs["connect-then-send"], 2)...)
	faults = append(faults, d.checkTime(runs["fast-open"], 1)...)
	faults = append(faults, d.checkTime(runs["server-fast-open"], 1)...)
	return append(faults, checkBytes(runs)...)
}

// checkTime compares a run's round trips and time to first byte with want round
// trips.
func (d demo) checkTime(r runResult, want float64) []string {
	var faults []string
	if r.RoundTrips != want {
		faults = append(faults, fmt.Sprintf("%s took %v round trips, want %v", r.Name, r.RoundTrips, want))
	}
	expected := want * 2 * d.OneWayDelayMS
	if math.Abs(r.TTFBms-expected) > tolerance*expected {
		faults = append(faults, fmt.Sprintf("%s had its first byte after %.1f ms, want %.1f ms within %.0f %%", r.Name, r.TTFBms, expected, tolerance*100))
	}
	return faults
}

// checkBytes compares what rode in the SYNs with what had to.
func checkBytes(runs map[string]runResult) []string {
	var faults []string
	for _, name := range []string{"fast-open", "server-fast-open"} {
		if r := runs[name]; r.Bytes < 1 || r.BytesInSYN != r.Bytes || r.BytesAcceptedInSYN != r.Bytes {
			faults = append(faults, fmt.Sprintf("%s: %d bytes, %d in the SYN, %d accepted; want all", name, r.Bytes, r.BytesInSYN, r.BytesAcceptedInSYN))
		}
	}
	if r := runs["server-fast-open"]; r.AcceptedBeforeACK == nil || !*r.AcceptedBeforeACK {
		faults = append(faults, "server-fast-open: accepted_before_ack is not true")
	}
	if r := runs["fast-open-large"]; r.BytesInSYN < 1 || r.BytesInSYN >= r.Bytes || r.BytesAcceptedInSYN != r.BytesInSYN {
		faults = append(faults, fmt.Sprintf("fast-open-large: %d bytes, %d in the SYN, %d accepted; want some but not all in the SYN, and those accepted", r.Bytes, r.BytesInSYN, r.BytesAcceptedInSYN))
	}
	for _, name := range []string{"connect-then-send", "cookie-request"} {
		if r := runs[name]; r.BytesInSYN != 0 || r.BytesAcceptedInSYN != 0 {
			faults = append(faults, fmt.Sprintf("%s: %d bytes in the SYN, %d accepted; want none", name, r.BytesInSYN, r.BytesAcceptedInSYN))
		}
	}
	if r := runs["syn-data-dropped"]; r.BytesAcceptedInSYN != 0 {
		faults = append(faults, fmt.Sprintf("syn-data-dropped: %d bytes accepted from a SYN that was dropped", r.BytesAcceptedInSYN))
	}
	return faults
}
