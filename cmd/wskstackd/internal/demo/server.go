package demo

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/ladder"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/report"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/relay"
)

// served is the run in which the peer is the client.
type served struct {
	result
	// inSYN is the peer's own judgement, and judge how it comes to it.
	inSYN bool
	judge string
	// lead is by how much the answer left before the client's ACK came.
	lead time.Duration
}

// serverFastOpen lets the peer connect to this stack's service: once for a cookie,
// then with the question in its SYN.
func (r *rig) serverFastOpen(ctx context.Context) (served, error) {
	if _, err := r.fromPeer(ctx, request(smallQuestion)); err != nil {
		return served{}, fmt.Errorf("%s, fetching a cookie: %w", runServerFastOpen, err)
	}
	res, best, err := r.best(ctx, runServerFastOpen,
		"the peer is the client, with a cookie of ours; stack.Endpoint.ServeFastOpen, Accept, Read, Write",
		smallQuestion, 1, nil, r.fromPeer)
	if err != nil {
		return served{}, err
	}
	s := served{result: res, inSYN: best.peer.inSYN, judge: best.peer.judge}
	var before bool
	s.lead, before = best.trace.AnsweredBeforeACK()
	s.AcceptedBeforeACK = &before
	s.parts[0].served = true
	s.parts[0].heading = "on the left the peer, on the right this stack"
	if before {
		s.notes = append(s.notes, fmt.Sprintf(
			"the answer, which has the request's hash, left %.1f ms before the client's ACK came: the request was read before the handshake was over",
			report.Milliseconds(s.lead)))
	}
	return s, nil
}

// fromPeer is an exchange that the peer begins.
func (r *rig) fromPeer(ctx context.Context, question []byte) (sample, error) {
	r.seen.Reset()
	a, err := r.peer.ask(ctx, r.service.at, question)
	if err != nil {
		return sample{}, err
	}
	// The client has its answer before we have its ACK: its FIN comes last.
	if _, err := r.seen.Wait(ctx, cameFrom(a.local, seg.FIN)); err != nil {
		return sample{}, err
	}
	s := sample{ttfb: a.ttfb, outcome: r.service.outcome(), peer: a}
	s.trace = ladder.NewFromWire(r.seen.Reset(), a.local)
	r.served = append(r.served, s.trace)
	return s, check(question, a.answer)
}

// cameFrom picks what came to the stack from an address, with the given flags.
func cameFrom(from netip.AddrPort, flags seg.Flags) func(relay.Event) bool {
	return func(e relay.Event) bool {
		if e.Direction != relay.Up || e.Place != relay.AtStack {
			return false
		}
		s, err := seg.Parse(e.Bytes)
		return err == nil && s.Src() == from && s.Flags().Has(flags)
	}
}
