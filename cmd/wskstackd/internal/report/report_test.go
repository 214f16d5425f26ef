package report_test

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/report"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/fastopen/tfo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRoundTrips(t *testing.T) {
	const rtt = 40 * time.Millisecond
	for d, want := range map[time.Duration]int{
		0: 0, 41 * time.Millisecond: 1, 59 * time.Millisecond: 1, 61 * time.Millisecond: 2, 1081 * time.Millisecond: 27,
	} {
		if got := report.RoundTrips(d, rtt); got != want {
			t.Errorf("%v: %d round trips, want %d", d, got, want)
		}
	}
	for _, short := range []time.Duration{0, 300 * time.Microsecond, report.MinRoundTrip - 1} {
		if got := report.RoundTrips(5*time.Millisecond, short); got != 0 {
			t.Errorf("%d round trips of %v, which say nothing", got, short)
		}
	}
	if got := report.RoundTrips(2*report.MinRoundTrip, report.MinRoundTrip); got != 2 {
		t.Errorf("%d round trips at the limit", got)
	}
}

func TestReason(t *testing.T) {
	for _, c := range []struct {
		outcome fastopen.Outcome
		bytes   int
		want    string
	}{
		{fastopen.Outcome{BytesInSYN: 10, BytesAccepted: 10}, 10, ""},
		{fastopen.Outcome{BytesInSYN: 10, BytesAccepted: 10}, 20, "larger-than-a-syn"},
		{fastopen.Outcome{Reason: tfo.ReasonNoCookie}, 20, "no-cookie"},
		{fastopen.Outcome{Reason: tfo.ReasonOff}, 0, "off"},
	} {
		if got := report.Reason(c.outcome, c.bytes); got != c.want {
			t.Errorf("%+v, %d bytes: %q, want %q", c.outcome, c.bytes, got, c.want)
		}
	}
}

func TestUnits(t *testing.T) {
	if got := report.Milliseconds(1234567 * time.Nanosecond); got != 1.235 {
		t.Errorf("%v ms", got)
	}
	if report.Family(4) != "ipv4" || report.Family(6) != "ipv6" {
		t.Error("families")
	}
}

// Programs rely on exactly these names.
func TestFieldNames(t *testing.T) {
	names := func(v any) []string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		return slices.Sorted(maps.Keys(m))
	}
	demo := []string{"ok", "one_way_delay_ms", "peer", "peer_counters", "runs", "wire"}
	if got := names(report.Demo{}); !slices.Equal(got, demo) {
		t.Errorf("a demo has %v, want %v", got, demo)
	}
	run := []string{"bytes", "bytes_accepted_in_syn", "bytes_in_syn", "family", "fast_open", "name", "reason", "round_trips", "ttfb_ms"}
	if got := names(report.Run{}); !slices.Equal(got, run) {
		t.Errorf("a run has %v, want %v", got, run)
	}
	before := true
	run = slices.Insert(run, 0, "accepted_before_ack")
	if got := names(report.Run{AcceptedBeforeACK: &before}); !slices.Equal(got, run) {
		t.Errorf("a run of a server has %v, want %v", got, run)
	}
	served := []string{"bytes_accepted_in_syn", "bytes_in_syn", "bytes_received", "bytes_sent", "error", "family", "fast_open", "name", "reason", "remote"}
	if got := names(report.Served{}); !slices.Equal(got, served) {
		t.Errorf("a connection that was served has %v, want %v", got, served)
	}
}
