package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/fault"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/metrics"
)

// Limits of a scrape.
const (
	scrapeLimit    = 10 * time.Second
	maxScrapes     = 8
	maxScrapeHead  = 8 << 10
	scrapeIdle     = 2 * time.Minute
	scrapeShutdown = time.Second
)

// listenMetrics serves /metrics, if it is wanted, until the daemon's end.
func (d *daemon) listenMetrics(ctx context.Context, lc *net.ListenConfig) error {
	if !d.opts.Metrics.IsValid() {
		return nil
	}
	l, err := lc.Listen(ctx, "tcp", d.opts.Metrics.String())
	if err != nil {
		return listenError("--metrics", d.opts.Metrics, err)
	}
	r := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		metrics.New(d.sources()), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := r.Register(c); err != nil {
			return errors.Join(err, l.Close())
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes, Timeout: scrapeLimit}))
	s := &http.Server{
		Handler: mux, ReadHeaderTimeout: scrapeLimit, ReadTimeout: scrapeLimit, WriteTimeout: 2 * scrapeLimit,
		IdleTimeout: scrapeIdle, MaxHeaderBytes: maxScrapeHead, ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug),
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Serve(l) // ends with the shutdown
	}()
	d.later(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), scrapeShutdown)
		defer cancel()
		if s.Shutdown(ctx) != nil {
			_ = s.Close() // whoever scrapes so slowly
		}
		<-ended
		return nil
	})
	d.log.Info("metrics", slog.String("url", "http://"+l.Addr().String()+"/metrics"))
	return nil
}

func (d *daemon) sources() metrics.Sources {
	s := metrics.Sources{
		Requests: &d.requests,
		Stack:    d.stack.Stats, FastOpen: d.stack.FastOpen().Stats, Link: d.link.Stats, Device: d.device.Stats,
	}
	for i := range d.services {
		s.Services = append(s.Services, &d.services[i])
	}
	return s
}

// listenError says what to do about a listener that cannot be.
func listenError(flag string, at netip.AddrPort, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fault.New(fault.ErrUnavailable, "%s %v: the port is taken ('ss -ltnp' shows by whom): choose another", flag, at)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fault.New(fault.ErrUnavailable, "%s %v: there is no such address here ('ip address' shows which there are)", flag, at)
	case errors.Is(err, syscall.EACCES):
		return fault.New(syscall.EACCES, "%s %v: a port below 1024 needs CAP_NET_BIND_SERVICE: choose a higher one, or run as root", flag, at)
	}
	return fault.New(err, "%s %v: cannot listen there: %v", flag, at, err)
}

// notOurs is the error for an address that the stack does not have.
func notOurs(at netip.AddrPort, own []netip.Addr) error {
	return fault.New(fault.ErrUsage, "--expose %v: the stack's addresses are %v: use one of them, or :%d for all", at, slices.Clone(own), at.Port())
}
