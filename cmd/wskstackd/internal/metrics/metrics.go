// Package metrics shows the daemon's counters to Prometheus.
//
//	scrape ──► /metrics ──► Collector ──► Service, Requests   (counted by the daemon)
//	                                 └──► stack, Fast Open, device (asked at each scrape)
//
// Names begin with wskstackd_, are in base units, and have labels of few values
// only: no address of anybody is in them.
//
// # Ownership
//
// The counters are added to from any goroutine without a lock. A Collector reads
// them and asks its sources; it changes nothing and has no goroutine.
package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/proxy"
	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/tun"
)

// Service counts the connections of one kind of listener.
type Service struct {
	// Name is "proxy", "forward" or "expose".
	Name string
	// Open are those that there are now.
	Open atomic.Int64
	// Accepted were served, TooMany reset since there were too many; Failed found
	// no peer, Cut were not ended by both sides.
	Accepted, TooMany, Failed, Cut atomic.Uint64
	// ToPeer and FromPeer are bytes.
	ToPeer, FromPeer atomic.Uint64
}

// Requests counts what was asked of the proxies.
type Requests struct {
	counts [proxy.HTTP + 1][proxy.Results]atomic.Uint64
}

// Add counts a request.
func (r *Requests) Add(p proxy.Protocol, result proxy.Result) { r.counts[p][result].Add(1) }

// Sources is what a Collector shows.
type Sources struct {
	Services []*Service
	Requests *Requests
	Stack    func() stack.Stats
	FastOpen func() fastopen.Stats
	Link     func() iolink.Stats
	Device   func() tun.Stats
}

// Collector is a prometheus.Collector. It may be asked by several scrapes at once.
type Collector struct {
	from  Sources
	descs map[string]*prometheus.Desc
}

// New makes a Collector.
func New(from Sources) *Collector {
	c := &Collector{from: from, descs: make(map[string]*prometheus.Desc)}
	for _, m := range metricTable {
		c.descs[m.name] = prometheus.NewDesc("wskstackd_"+m.name, m.help, m.labels, nil)
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	s := sample{from: c.from, stack: c.from.Stack(), fast: c.from.FastOpen(), link: c.from.Link(), device: c.from.Device()}
	for _, m := range metricTable {
		m.read(&s, func(v float64, labels ...string) {
			to <- prometheus.MustNewConstMetric(c.descs[m.name], m.kind, v, labels...)
		})
	}
}

// sample is what all sources said at one moment.
type sample struct {
	from   Sources
	stack  stack.Stats
	fast   fastopen.Stats
	link   iolink.Stats
	device tun.Stats
}

// put hands a value out, with the values of the labels.
type put func(v float64, labels ...string)
