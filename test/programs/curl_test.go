package programs

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/test/covers"
	"github.com/wskstack/wskstack/test/kernelpeer"
)

// web is net/http on the stack, which knows nothing of Fast Open. It answers with
// what was sent to it.
type web struct {
	r        *rig
	listener *stack.TCPListener

	mu    sync.Mutex
	early []int // guarded by mu; bytes of each request's connection that came in its SYN
}

func (r *rig) web() *web {
	r.t.Helper()
	lc := stack.ListenConfig{Stack: r.stack, FastOpen: &fastopen.ListenConfig{}}
	l, err := lc.ListenTCP("tcp", r.at(80))
	check(r.t, err)
	w := &web{r: r, listener: l}
	type connKey struct{}
	srv := &http.Server{
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		Handler: http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
			conn := in.Context().Value(connKey{}).(*stack.TCPConn)
			w.note(conn.FastOpenInfo().EarlyData)
			body, err := io.ReadAll(in.Body)
			if err != nil {
				http.Error(out, err.Error(), http.StatusBadRequest)
				return
			}
			out.Header().Set("Content-Length", strconv.Itoa(len(body)))
			_, _ = out.Write(body) // a client that is gone sees it itself
		}),
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = srv.Serve(l) }()
	r.t.Cleanup(func() {
		check(r.t, srv.Close())
		<-ended
	})
	return w
}

func (w *web) note(early int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.early = append(w.early, early)
}

// noted is how much came in the SYN of each request so far.
func (w *web) noted() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.early
}

// curl posts a body from the kernel's namespace and returns the answer.
func (w *web) curl(body string) string {
	w.r.t.Helper()
	var out, talk bytes.Buffer
	cmd := exec.CommandContext(w.r.ctx, "curl", "--tcp-fastopen", "--silent", "--show-error", "--fail",
		"--noproxy", "*", "--header", "Expect:", "--data-binary", "@-", "http://"+w.r.at(80).String()+"/")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(body), &out, &talk
	w.r.start(cmd)
	if err := cmd.Wait(); err != nil {
		w.r.t.Fatalf("curl: %v: %s", err, talk.String())
	}
	return out.String()
}

// Curl's request comes in its SYN as soon as the kernel has a cookie of ours, and is
// answered like any other.
func TestCurlIsTheClient(t *testing.T) {
	covers.IDs(t, "B-11", "S-06")
	families(t, "curl", func(t *testing.T, r *rig) {
		w := r.web()
		requests := []string{"cookie, please", "short", text(300_000), ""}
		for _, body := range requests {
			if got := w.curl(body); got != body {
				t.Errorf("%d bytes came back of %d", len(got), len(body))
			}
		}
		inSYN := uint64(len(requests) - 1)
		r.counted(kernelpeer.Counters{Active: inSYN})
		want := fastopen.ServerStats{TCPFastOpenPassive: inSYN, TCPFastOpenCookieReqd: 1}
		// Curl may be gone before the ACK of the last answer is here.
		look, got := time.NewTicker(time.Millisecond), w.listener.FastOpen().Stats()
		defer look.Stop()
		for ; got.Pending != 0 && r.ctx.Err() == nil; got = w.listener.FastOpen().Stats() {
			<-look.C
		}
		if got.ServerStats != want || got.Pending != 0 {
			t.Errorf("we counted %+v, want %+v", got, want)
		}
		for i, early := range w.noted() {
			if (early > 0) != (i > 0) {
				t.Errorf("request %d: %d bytes in the SYN", i+1, early)
			}
		}
		if n := len(w.noted()); n != len(requests) {
			t.Errorf("%d requests came, want %d", n, len(requests))
		}
	})
}
