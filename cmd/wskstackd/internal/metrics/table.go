package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/proxy"
	"github.com/wskstack/wskstack/stack/fastopen"
)

// metric is one name that is shown.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	labels     []string
	read       func(*sample, put)
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

// metricTable is all that is shown.
var metricTable = []metric{
	{"connections_open", "Connections of clients that there are now.", gauge, []string{"service"}, services(func(s *Service) float64 { return float64(s.Open.Load()) })},
	{"connections_accepted_total", "Connections that were served.", counter, []string{"service"}, services(func(s *Service) float64 { return float64(s.Accepted.Load()) })},
	{"connections_refused_total", "Connections that were reset since there were too many.", counter, []string{"service"}, services(func(s *Service) float64 { return float64(s.TooMany.Load()) })},
	{"connections_failed_total", "Connections for which no peer was found.", counter, []string{"service"}, services(func(s *Service) float64 { return float64(s.Failed.Load()) })},
	{"connections_cut_total", "Connections that were not ended by both sides: reset, or over a limit.", counter, []string{"service"}, services(func(s *Service) float64 { return float64(s.Cut.Load()) })},
	{"transferred_bytes_total", "Bytes moved between clients and peers.", counter, []string{"service", "direction"}, transferred},
	{"requests_total", "Requests to the proxies, by what the client was told.", counter, []string{"protocol", "result"}, requests},

	{"tcp_sockets", "TCP endpoints of the stack, closing ones included.", gauge, nil, one(func(s *sample) uint64 { return uint64(s.stack.Sockets) })},
	{"tcp_established", "Connections of the stack that are established.", gauge, nil, one(func(s *sample) uint64 { return s.stack.Established })},
	{"tcp_openings_total", "Connections that the stack began (active) and took (passive).", counter, []string{"side"}, both("active", func(s *sample) uint64 { return s.stack.ActiveOpenings }, "passive", func(s *sample) uint64 { return s.stack.PassiveOpenings })},
	{"tcp_connect_failures_total", "Connects of the stack that failed.", counter, nil, one(func(s *sample) uint64 { return s.stack.FailedConnects })},
	{"tcp_segments_total", "TCP segments of the stack.", counter, []string{"direction"}, both("received", func(s *sample) uint64 { return s.stack.SegmentsReceived }, "sent", func(s *sample) uint64 { return s.stack.SegmentsSent })},
	{"tcp_resets_total", "TCP resets of the stack.", counter, []string{"direction"}, both("received", func(s *sample) uint64 { return s.stack.ResetsReceived }, "sent", func(s *sample) uint64 { return s.stack.ResetsSent })},
	{"tcp_retransmitted_segments_total", "TCP segments that the stack sent again.", counter, nil, one(func(s *sample) uint64 { return s.stack.Retransmits })},
	{"tcp_retransmission_timeouts_total", "Retransmission timers of the stack that ran out.", counter, nil, one(func(s *sample) uint64 { return s.stack.Timeouts })},
	{"tcp_invalid_segments_total", "TCP segments that the stack dropped.", counter, []string{"cause"}, both("malformed", func(s *sample) uint64 { return s.stack.InvalidSegments }, "checksum", func(s *sample) uint64 { return s.stack.ChecksumErrors })},

	{"fastopen_client_accepted_total", "Connects whose data in the SYN was wholly acknowledged by the SYN-ACK (TCPFastOpenActive).", counter, nil, one(func(s *sample) uint64 { return s.fast.TCPFastOpenActive })},
	{"fastopen_client_failed_total", "Connects whose data in the SYN was not (TCPFastOpenActiveFail).", counter, nil, one(func(s *sample) uint64 { return s.fast.TCPFastOpenActiveFail })},
	{"fastopen_client_cookie_requests_total", "SYNs that asked for a cookie.", counter, nil, one(func(s *sample) uint64 { return s.fast.CookieRequests })},
	{"fastopen_client_cookies_granted_total", "SYN-ACKs that brought a cookie.", counter, nil, one(func(s *sample) uint64 { return s.fast.CookiesGranted })},
	{"fastopen_client_syn_retransmits_total", "Connects whose SYN was repeated, without Fast Open.", counter, nil, one(func(s *sample) uint64 { return s.fast.SYNRetransmits })},
	{"fastopen_client_outcomes_total", "Connects by why Fast Open was not used, or none.", counter, []string{"reason"}, outcomes},
	{"fastopen_client_cache_entries", "Entries of the client's cache.", gauge, []string{"kind"}, both("peer", func(s *sample) uint64 { return uint64(s.fast.Peers) }, "path", func(s *sample) uint64 { return uint64(s.fast.Paths) })},
	{"fastopen_openings", "Connections that are being opened.", gauge, nil, one(func(s *sample) uint64 { return uint64(s.fast.Openings) })},
	{"fastopen_server_accepted_total", "Connections that were opened by their SYN (TCPFastOpenPassive).", counter, nil, one(func(s *sample) uint64 { return s.fast.TCPFastOpenPassive })},
	{"fastopen_server_failed_total", "SYNs with a wrong cookie, or whose data was not taken (TCPFastOpenPassiveFail).", counter, nil, one(func(s *sample) uint64 { return s.fast.TCPFastOpenPassiveFail })},
	{"fastopen_server_overflows_total", "SYNs that came while too many were pending (TCPFastOpenListenOverflow).", counter, nil, one(func(s *sample) uint64 { return s.fast.TCPFastOpenListenOverflow })},
	{"fastopen_server_cookie_requests_total", "SYNs that asked the listeners for a cookie (TCPFastOpenCookieReqd).", counter, nil, one(func(s *sample) uint64 { return s.fast.TCPFastOpenCookieReqd })},
	{"fastopen_server_replays_dropped_total", "Duplicates of SYNs whose data was dropped.", counter, nil, one(func(s *sample) uint64 { return s.fast.ReplaysDropped })},

	{"link_packets_total", "IP packets between the stack and its device.", counter, []string{"direction"}, both("received", func(s *sample) uint64 { return s.link.RxPackets }, "sent", func(s *sample) uint64 { return s.link.TxPackets })},
	{"link_bytes_total", "Bytes of IP packets between the stack and its device.", counter, []string{"direction"}, both("received", func(s *sample) uint64 { return s.link.RxBytes }, "sent", func(s *sample) uint64 { return s.link.TxBytes })},
	{"link_dropped_packets_total", "IP packets dropped between the stack and the kernel.", counter, []string{"direction"}, both("received", dropsIn, "sent", dropsOut)},
}

// one shows a number without labels.
func one(of func(*sample) uint64) func(*sample, put) {
	return func(s *sample, to put) { to(float64(of(s))) }
}

// both shows two numbers with a label each.
func both(a string, ofA func(*sample) uint64, b string, ofB func(*sample) uint64) func(*sample, put) {
	return func(s *sample, to put) {
		to(float64(ofA(s)), a)
		to(float64(ofB(s)), b)
	}
}

// services shows a number of each service.
func services(of func(*Service) float64) func(*sample, put) {
	return func(s *sample, to put) {
		for _, svc := range s.from.Services {
			to(of(svc), svc.Name)
		}
	}
}

func transferred(s *sample, to put) {
	for _, svc := range s.from.Services {
		to(float64(svc.ToPeer.Load()), svc.Name, "to_peer")
		to(float64(svc.FromPeer.Load()), svc.Name, "from_peer")
	}
}

// requests shows those that there were: an absent one is none.
func requests(s *sample, to put) {
	for p := range s.from.Requests.counts {
		for r := range s.from.Requests.counts[p] {
			if n := s.from.Requests.counts[p][r].Load(); n > 0 {
				to(float64(n), proxy.Protocol(p).String(), proxy.Result(r).String())
			}
		}
	}
}

func outcomes(s *sample, to put) {
	for reason, n := range s.fast.Reasons {
		name := reason.String()
		if reason == fastopen.Reason(0) {
			name = "none"
		}
		to(float64(n), name)
	}
}

func dropsIn(s *sample) uint64 {
	d, l := s.device, s.link
	return d.ReadTruncated + d.ReadOversize + d.ReadMalformed + d.ReadBadOffload + l.RxNotIP + l.RxMalformed + l.RxBadChecksum + s.fast.QueueDrops
}

func dropsOut(s *sample) uint64 {
	d, l := s.device, s.link
	return d.WriteLinkDown + d.WriteNoMemory + d.WriteRejected + l.TxNoBuffer + l.TxErrors
}
