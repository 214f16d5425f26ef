package daemon

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/proxy"
)

// resolver looks names up: the host's, or the stack's.
type resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// deniedError says that a target is one that nobody is connected to.
type deniedError struct{ why string }

func (d deniedError) Error() string { return d.why }

// addresses are those of a target that the stack has a family for and, if there is
// a guard, that may be connected to.
func (d *daemon) addresses(ctx context.Context, t proxy.Target, g *guard) ([]netip.Addr, error) {
	found := []netip.Addr{t.Addr}
	if t.Name != "" {
		var err error
		if found, err = d.resolver.LookupNetIP(ctx, "ip", t.Name); err != nil {
			return nil, err
		}
	}
	var usable []netip.Addr
	var denied error
	for _, a := range found {
		a = a.Unmap()
		if g != nil {
			if why := g.refuses(a); why != "" {
				denied = deniedError{why}
				continue
			}
		}
		if d.net.has(a) && !slices.Contains(usable, a) {
			usable = append(usable, a)
		}
	}
	switch {
	case len(usable) > 0:
		return usable, nil
	case denied != nil:
		return nil, denied
	case len(found) == 0:
		return nil, &net.DNSError{Err: "no addresses", Name: t.Name, IsNotFound: true}
	}
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ENETUNREACH}
}

// resultOf is what a client of the proxy is told about an error of a look-up or a
// dial.
func resultOf(err error) proxy.Result {
	var denied deniedError
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case err == nil:
		return proxy.Granted
	case errors.As(err, &denied):
		return proxy.Denied
	case errors.As(err, &dns) && !dns.IsTimeout:
		return proxy.NameUnknown
	case errors.Is(err, syscall.ECONNREFUSED):
		return proxy.Refused
	case errors.Is(err, syscall.ENETUNREACH):
		return proxy.NetworkUnreachable
	case errors.Is(err, syscall.EHOSTUNREACH):
		return proxy.HostUnreachable
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return proxy.TimedOut
	}
	return proxy.Failed
}

// pinned is a resolver that knows the addresses already, so that those that were
// looked at are those that are dialled.
type pinned []netip.Addr

// LookupNetIP gives the addresses of one family, whatever the host.
func (p pinned) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	var of []netip.Addr
	for _, a := range p {
		if network == "ip" || a.Is4() == (network == "ip4") {
			of = append(of, a)
		}
	}
	if len(of) == 0 {
		return nil, &net.DNSError{Err: "no address of this family", Name: host, IsNotFound: true}
	}
	return of, nil
}
