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
	return New(Sources{
		Services: []*Service{s},
		Requests: &r,
		Stack:    func() stack.Stats { return stack.Stats{Sockets: 2, SegmentsSent: 11} },
		FastOpen: func() fastopen.Stats {
			return fastopen.Stats{
				TCPFastOpenActive: 13, QueueDrops: 1, Peers: 4,
				Reasons: map[fastopen.Reason]uint64{tfo.ReasonNone: 13, tfo.ReasonNoCookie: 1},
			}
		},
		Link:   func() iolink.Stats { return iolink.Stats{RxBytes: 17, RxNotIP: 1, TxErrors: 2} },
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
		`wskstackd_tcp_sockets 2`,
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
