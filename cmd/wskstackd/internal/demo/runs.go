package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/ladder"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/report"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/test/relay"
	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// warmUp makes one plain connection that is not reported, so that the first run
// does not pay for what is loaded and allocated once.
func (r *rig) warmUp(ctx context.Context) error {
	if _, err := r.throughStack(fastopen.ModeOff)(ctx, request(smallQuestion)); err != nil {
		return fmt.Errorf("a first connection: %w", err)
	}
	return nil
}

// connectThenSend is how a connection begins without Fast Open.
func (r *rig) connectThenSend(ctx context.Context) (result, error) {
	return r.timed(ctx, runConnectThenSend, "Fast Open off; WskConnect, then WskSend",
		smallQuestion, 2, nil, r.throughWSK(false))
}

// cookieRequest is the first contact with a server, each time.
func (r *rig) cookieRequest(ctx context.Context) (result, error) {
	return r.timed(ctx, runCookieRequest, "no cookie yet; WskConnectEx with the request",
		smallQuestion, 2, r.stack.FastOpen().Forget, r.throughWSK(true))
}

// fastOpen has a cookie and sends the question in the SYN.
func (r *rig) fastOpen(ctx context.Context) (result, error) {
	return r.timed(ctx, runFastOpen, "with the cookie; WskConnectEx with the request",
		smallQuestion, 1, nil, r.throughWSK(true))
}

// fastOpenLarge sends more than fits.
func (r *rig) fastOpenLarge(ctx context.Context) (result, error) {
	res, err := r.timed(ctx, runFastOpenLarge, "with the cookie; WskConnectEx with more than fits into a SYN",
		largeQuestion, 2, nil, r.throughWSK(true))
	res.notes = append(res.notes, "the peer answers when it has the whole request, so the part that did not fit costs a second round trip")
	return res, err
}

// synDataDropped puts a middlebox on the path that drops SYNs with payload, and
// connects twice.
func (r *rig) synDataDropped(ctx context.Context) (dropped, again result, err error) {
	r.relay.SetFilter(relay.Down, relay.On(relay.SYNWithData, relay.Drop))
	defer r.relay.SetFilter(relay.Down, nil)
	const how = "a middlebox drops SYNs with payload; stack.Endpoint.Connect with the request as its Data"
	question := request(smallQuestion)
	connect := r.throughStack(fastopen.ModeDefault)
	var samples [2]sample
	for i := range samples {
		if samples[i], err = connect(ctx, question); err != nil {
			return result{}, result{}, fmt.Errorf("%s, connection %d: %w", runSYNDataDropped, i+1, err)
		}
	}
	dropped = result{Run: r.reported(runSYNDataDropped, question, samples[0]), how: how, times: []time.Duration{samples[0].ttfb}}
	again = result{Run: r.reported(runSYNDataDropped, question, samples[1])}
	dropped.parts = []part{
		{heading: "the first connection falls back to a plain SYN after TCP's own first timeout", trace: samples[0].trace},
		{heading: "the second one knows the path, and does not try", trace: samples[1].trace},
	}
	dropped.notes = []string{
		fmt.Sprintf("the second connection had its first byte after %.1f ms, its reason: %s", again.TTFBms, again.Reason),
		"the round trips of the first one include the wait of 1 s",
	}
	return dropped, again, nil
}

// cancelled is what a cancelled request showed.
type cancelled struct {
	result
	status      ntstatus.Status
	pended      bool
	completions int
	// connected: the same socket could be connected afterwards.
	connected error
}

// cancel connects to a peer that does not answer, cancels that once the SYN was
// seen on the wire, and then connects the same socket.
func (r *rig) cancel(ctx context.Context) (_ cancelled, err error) {
	remote := r.peer.addr()
	question := request(smallQuestion)
	sock, err := r.wsk.open(ctx, remote.Addr(), true)
	if err != nil {
		return cancelled{}, fmt.Errorf("%s: %w", runCancel, err)
	}
	defer func() {
		if closed := sock.close(ctx); err == nil {
			err = closed
		}
	}()
	r.relay.SetFilter(relay.Down, relay.On(relay.SYN, relay.Drop))
	defer r.relay.SetFilter(relay.Down, nil)
	connect := begin(func(i *irp.IRP) ntstatus.Status {
		to := wsk.SockAddrFrom(remote)
		return sock.ConnectEx(&to, wsk.NewBuf(question), 0, i)
	})
	if _, err := r.seen.Wait(ctx, func(e relay.Event) bool { return e.Fate == relay.Dropped }); err != nil {
		connect.cancel()
		return cancelled{}, fmt.Errorf("%s: %w", runCancel, err)
	}
	block := connect.cancel()
	local, err := sock.localAddr(ctx)
	if err != nil {
		return cancelled{}, fmt.Errorf("%s: %w", runCancel, err)
	}
	trace := ladder.New(r.seen.Reset(), r.onWire(local.Port()))
	c := cancelled{status: block.Status, pended: connect.irp.PendingReturned()}
	c.Run = report.Run{
		Name: runCancel, Family: report.Family(r.opts.Family), Bytes: len(question),
		BytesInSYN: trace.BytesInSYN(), Reason: block.Status.String(),
	}
	c.how = "a peer that does not answer; WskConnectEx, then IoCancelIrp"
	c.parts = []part{{trace: trace}}
	r.relay.SetFilter(relay.Down, nil)
	c.connected = r.reconnect(ctx, sock, question)
	c.completions = 1 + len(connect.completions)
	c.notes = []string{fmt.Sprintf("the IRP completed with %v, %d time; the socket is bound as before", c.status, c.completions)}
	return c, nil
}

// reconnect uses a socket whose connect was cancelled.
func (r *rig) reconnect(ctx context.Context, sock wskSocket, question []byte) error {
	if err := sock.connectEx(ctx, r.peer.addr(), question); err != nil {
		return err
	}
	got, _, err := readAll(sock.read(ctx))
	if err != nil {
		return err
	}
	local, err := sock.localAddr(ctx)
	if err != nil {
		return err
	}
	if err := sock.disconnect(ctx); err != nil {
		return err
	}
	r.record(sample{}, local)
	return check(question, got)
}
