package metrics

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/proxy"
	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/tun"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// filled is a collector whose sources all have something to say.
func filled() *Collector {
	var r Requests
	r.Add(proxy.SOCKS5, proxy.Refused)
	r.Add(proxy.SOCKS5, proxy.Refused)
	r.Add(0, proxy.Malformed)
	s := &Service{Name: "proxy"}
	s.Open.Add(3)
	s.ToPeer.Add(5)
	s.FromPeer.Add(7)
	s.Accepted.Add(45)
	s.TooMany.Add(46)
	s.Failed.Add(47)
	s.Cut.Add(48)
	return New(Sources{
		Services: []*Service{s},
		Requests: &r,
		Stack: func() stack.Stats {
			return stack.Stats{
				Sockets: 2, SegmentsSent: 11, SegmentsReceived: 12, Established: 21, ActiveOpenings: 22, PassiveOpenings: 23,
				FailedConnects: 24, ResetsSent: 25, ResetsReceived: 26, Retransmits: 27, Timeouts: 28, InvalidSegments: 29,
				ChecksumErrors: 30,
			}
		},
		FastOpen: func() fastopen.Stats {
			return fastopen.Stats{
				TCPFastOpenActive: 13, TCPFastOpenActiveFail: 31, CookieRequests: 32, CookiesGranted: 33, SYNRetransmits: 34,
				QueueDrops: 1, Peers: 4, Paths: 35, Openings: 36,
				Reasons: map[fastopen.Reason]uint64{tfo.ReasonNone: 13, tfo.ReasonNoCookie: 1},
				ServerStats: fastopen.ServerStats{
					TCPFastOpenPassive: 37, TCPFastOpenPassiveFail: 38, TCPFastOpenListenOverflow: 39, TCPFastOpenCookieReqd: 40,
					ReplaysDropped: 41,
				},
			}
		},
		Link: func() iolink.Stats {
			return iolink.Stats{RxPackets: 42, TxPackets: 43, RxBytes: 17, TxBytes: 44, RxNotIP: 1, TxErrors: 2}
		},
		Device: func() tun.Stats { return tun.Stats{ReadOversize: 1, WriteLinkDown: 3} },
	})
}

// Each number is where it belongs.
func TestValues(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(filled()); err != nil {
		t.Fatal(err)
	}
	text := exposed(t, registry)
	for _, want := range []string{
		`wskstackd_connections_open{service="proxy"} 3`,
		`wskstackd_transferred_bytes_total{direction="to_peer",service="proxy"} 5`,
		`wskstackd_transferred_bytes_total{direction="from_peer",service="proxy"} 7`,
		`wskstackd_requests_total{protocol="socks5",result="refused"} 2`,
		`wskstackd_requests_total{protocol="unknown",result="malformed"} 1`,
		`wskstackd_connections_accepted_total{service="proxy"} 45`,
		`wskstackd_connections_refused_total{service="proxy"} 46`,
		`wskstackd_connections_failed_total{service="proxy"} 47`,
		`wskstackd_connections_cut_total{service="proxy"} 48`,
		`wskstackd_tcp_sockets 2`,
		`wskstackd_tcp_established 21`,
		`wskstackd_tcp_openings_total{side="active"} 22`,
		`wskstackd_tcp_openings_total{side="passive"} 23`,
		`wskstackd_tcp_connect_failures_total 24`,
		`wskstackd_tcp_segments_total{direction="received"} 12`,
		`wskstackd_tcp_resets_total{direction="sent"} 25`,
		`wskstackd_tcp_resets_total{direction="received"} 26`,
		`wskstackd_tcp_retransmitted_segments_total 27`,
		`wskstackd_tcp_retransmission_timeouts_total 28`,
		`wskstackd_tcp_invalid_segments_total{cause="malformed"} 29`,
		`wskstackd_tcp_invalid_segments_total{cause="checksum"} 30`,
		`wskstackd_fastopen_client_failed_total 31`,
		`wskstackd_fastopen_client_cookie_requests_total 32`,
		`wskstackd_fastopen_client_cookies_granted_total 33`,
		`wskstackd_fastopen_client_syn_retransmits_total 34`,
		`wskstackd_fastopen_client_cache_entries{kind="path"} 35`,
		`wskstackd_fastopen_openings 36`,
		`wskstackd_fastopen_server_accepted_total 37`,
		`wskstackd_fastopen_server_failed_total 38`,
		`wskstackd_fastopen_server_overflows_total 39`,
		`wskstackd_fastopen_server_cookie_requests_total 40`,
		`wskstackd_fastopen_server_replays_dropped_total 41`,
		`wskstackd_link_packets_total{direction="received"} 42`,
		`wskstackd_link_packets_total{direction="sent"} 43`,
		`wskstackd_link_bytes_total{direction="sent"} 44`,
		`wskstackd_tcp_segments_total{direction="sent"} 11`,
		`wskstackd_fastopen_client_accepted_total 13`,
		`wskstackd_fastopen_client_outcomes_total{reason="none"} 13`,
		`wskstackd_fastopen_client_outcomes_total{reason="no-cookie"} 1`,
		`wskstackd_fastopen_client_cache_entries{kind="peer"} 4`,
		`wskstackd_link_bytes_total{direction="received"} 17`,
		`wskstackd_link_dropped_packets_total{direction="received"} 3`,
		`wskstackd_link_dropped_packets_total{direction="sent"} 5`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// exposed is what a scrape gets.
func exposed(t *testing.T, g prometheus.Gatherer) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(g, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

// Prometheus' own rules for names, units and help.
func TestNames(t *testing.T) {
	problems, err := testutil.CollectAndLint(filled())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if n := testutil.CollectAndCount(filled()); n < len(metricTable) {
		t.Errorf("%d values of %d metrics", n, len(metricTable))
	}
}
