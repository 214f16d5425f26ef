package netcat

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/fault"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/report"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/test/netns/netnstest"
	"github.com/wskstack/wskstack/tun"
)

// The stack's ends of the links that are chosen in an empty namespace.
var own4, own6 = netip.MustParseAddr("198.18.77.2"), netip.MustParseAddr("fd77:736b::2")

// listenOptions are good ones, in a namespace.
func listenOptions(ns *netns.Namespace, s Service) ListenOptions {
	return ListenOptions{
		Place: Place{Namespace: ns.Path()}, Address: ":7777", Service: s, FastOpen: true,
		Pending: DefaultPending, Backlog: DefaultBacklog, MaxConnections: DefaultMaxConnections,
		Idle: limit,
	}
}

// serving is a listener that serves.
type serving struct {
	t     *testing.T
	ns    *netns.Namespace
	ctx   context.Context
	stop  context.CancelCauseFunc
	l     *Listener
	begun chan netip.AddrPort
	over  chan report.Served
	done  chan error // how Serve ended
	talk  lockedBuffer
}

// lockedBuffer is a buffer for several writers.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// errStopped is why a listener of the tests is stopped.
var errStopped = errors.New("stopped")

// serve opens a listener, or skips the test where there is no TUN for it.
func serve(t *testing.T, ns *netns.Namespace, o ListenOptions, in io.Reader, out io.Writer) *serving {
	t.Helper()
	return serveUntil(t, ns, o, limit, in, out)
}

// serveUntil is serve with a limit for connections that ought to end.
func serveUntil(t *testing.T, ns *netns.Namespace, o ListenOptions, grace time.Duration, in io.Reader, out io.Writer) *serving {
	t.Helper()
	if err := kernelpeer.EnableFastOpen(ns); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(t.Context(), o)
	if errors.Is(err, tun.ErrNoDevice) || errors.Is(err, tun.ErrNoPrivilege) {
		err = errors.Join(netns.ErrPrivilege, err)
	}
	netnstest.Require(t, err)
	const many = 64 // nobody waits for all of them to be looked at
	s := &serving{t: t, ns: ns, l: l, begun: make(chan netip.AddrPort, many), over: make(chan report.Served, many), done: make(chan error, 1)}
	l.grace = grace
	ctx, cancel := context.WithTimeout(context.Background(), 2*limit)
	s.ctx, s.stop = context.WithCancelCause(ctx)
	go func() {
		s.done <- l.Serve(s.ctx, in, out, Talk{
			Began:  func(remote netip.AddrPort) { s.begun <- remote },
			Ended:  func(r report.Served) error { s.over <- r; return nil },
			Errors: &s.talk,
		})
		close(s.done)
	}()
	t.Cleanup(func() {
		s.stop(errStopped)
		_ = s.wait() // tests that want to know have waited
		if err := l.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
		cancel()
	})
	return s
}

// dial connects from the kernel.
func (s *serving) dial(to netip.Addr, m kernelpeer.Method, data string) kernelpeer.Conn {
	s.t.Helper()
	c, err := kernelpeer.Dial(s.ctx, s.ns, kernelpeer.ClientConfig{Remote: netip.AddrPortFrom(to, 7777), Method: m, Data: []byte(data)})
	if err != nil {
		s.t.Fatalf("%v; the listener said %q", err, s.talk.String())
	}
	s.t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// ask sends a question, closes that side, and returns the whole answer.
func (s *serving) ask(to netip.Addr, m kernelpeer.Method, question string) (string, kernelpeer.Info) {
	s.t.Helper()
	c := s.dial(to, m, question)
	if err := c.CloseWrite(); err != nil {
		s.t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		s.t.Fatalf("after %q: %v", answer, err)
	}
	info, err := c.Info()
	if err != nil {
		s.t.Fatal(err)
	}
	_ = c.Close()
	return string(answer), info
}

// ended waits for the report of the next connection that is over.
func (s *serving) ended() report.Served {
	s.t.Helper()
	select {
	case r := <-s.over:
		return r
	case <-time.After(limit):
		s.t.Fatal("no connection ended")
	}
	return report.Served{}
}

// wait waits for the end of Serve.
func (s *serving) wait() error {
	s.t.Helper()
	select {
	case err := <-s.done:
		return err
	case <-time.After(2 * limit):
		s.t.Fatal("the listener goes on")
	}
	return nil
}

// What comes in a SYN is served, and the kernel's client agrees that it came so.
func TestEchoTakesFirstBytesFromTheSYN(t *testing.T) {
	ns := netnstest.New(t)
	s := serve(t, ns, listenOptions(ns, Echo), nil, nil)
	for name, own := range map[string]netip.Addr{"ipv4": own4, "ipv6": own6} {
		for i, want := range []report.Served{
			{Reason: "cookie-requested"},
			{BytesInSYN: 8, BytesAcceptedInSYN: 8, FastOpen: true},
		} {
			answer, info := s.ask(own, kernelpeer.SendTo, "question")
			got := s.ended()
			if answer != "question" || info.SYNData != want.FastOpen {
				t.Errorf("%s, connection %d: answer %q, the kernel says %+v", name, i+1, answer, info)
			}
			want.Name, want.Family, want.Remote, want.BytesReceived, want.BytesSent = "listen", name, got.Remote, 8, 8
			if got != want {
				t.Errorf("%s, connection %d: %+v, want %+v", name, i+1, got, want)
			}
		}
	}
	if answer, _ := s.ask(own4, kernelpeer.Plain, "plain"); answer != "plain" {
		t.Errorf("got %q", answer)
	}
	if r := s.ended(); r.Reason != "not-asked" {
		t.Errorf("an ordinary connection: %+v", r)
	}
	counters, err := kernelpeer.ReadCounters(ns)
	if err != nil || counters.Active != 2 || counters.ActiveFail != 0 {
		t.Errorf("the kernel counted %+v, %v", counters, err)
	}
}

func TestListenerWithoutFastOpen(t *testing.T) {
	ns := netnstest.New(t)
	o := listenOptions(ns, Echo)
	o.FastOpen = false
	s := serve(t, ns, o, nil, nil)
	for range 2 {
		if answer, info := s.ask(own4, kernelpeer.SendTo, "x"); answer != "x" || info.SYNData {
			t.Errorf("answer %q, the kernel says %+v", answer, info)
		}
		if r := s.ended(); r.Reason != "off" || r.FastOpen {
			t.Errorf("got %+v", r)
		}
	}
}

// A cookie made with a key is honoured by a listener that has that key as a backup,
// and not by one that has never heard of it.
func TestKeysAreShared(t *testing.T) {
	ns := netnstest.New(t)
	key := func(text string) *fastopen.Keys {
		k, err := fastopen.ParseKeys(text)
		if err != nil {
			t.Fatal(err)
		}
		return &k
	}
	for _, c := range []struct {
		keys, reason string
		accepted     bool
	}{
		{"00000001-00000002-00000003-00000004", "cookie-requested", false},
		{"00000009-00000009-00000009-00000009,00000001-00000002-00000003-00000004", "", true},
		{"00000007-00000007-00000007-00000007", "bad-cookie", false},
	} {
		o := listenOptions(ns, Echo)
		o.Keys, o.Repeat = key(c.keys), 1
		s := serve(t, ns, o, nil, nil)
		answer, info := s.ask(own4, kernelpeer.SendTo, "question")
		if r := s.ended(); answer != "question" || info.SYNData != c.accepted || r.FastOpen != c.accepted || r.Reason != c.reason {
			t.Errorf("%s: answer %q, the kernel says %+v, we %+v", c.keys, answer, info, r)
		}
		if err := s.wait(); err != nil {
			t.Fatal(err)
		}
		if err := s.l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// The client may be done long before the answer begins.
func TestStdioCarriesTheHalfClose(t *testing.T) {
	ns := netnstest.New(t)
	o := listenOptions(ns, Stdio)
	o.Repeat = 1
	in, feed := io.Pipe()
	out := &lockedBuffer{}
	came := make(chan struct{})
	s := serve(t, ns, o, in, writerFunc(func(b []byte) (int, error) {
		if n, err := out.Write(b); err != nil || out.String() != "question" {
			return n, err
		}
		close(came)
		return len(b), nil
	}))
	c := s.dial(own4, kernelpeer.Plain, "question")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	<-came
	// It was the only one wanted: others find nobody.
	_, err := kernelpeer.Dial(s.ctx, ns, kernelpeer.ClientConfig{Remote: netip.AddrPortFrom(own4, 7777)})
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a connection too many: %v", err)
	}
	if _, err := io.WriteString(feed, "answer"); err != nil {
		t.Fatal(err)
	}
	_ = feed.Close()
	if got, err := io.ReadAll(c); err != nil || string(got) != "answer" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := s.wait(); err != nil {
		t.Error(err)
	}
}

// Stopped, it closes its side, although the input would go on.
func TestStdioIsStopped(t *testing.T) {
	ns := netnstest.New(t)
	o := listenOptions(ns, Stdio)
	o.Repeat = 1
	s := serve(t, ns, o, nothing{t.Context()}, io.Discard)
	c := s.dial(own4, kernelpeer.Plain, "x")
	<-s.begun
	s.stop(errStopped)
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		t.Errorf("got %q, %v", rest, err)
	}
	_ = c.Close()
	if err := s.wait(); !errors.Is(err, errStopped) {
		t.Errorf("got %v", err)
	}
}

// Input that ends first closes this side only.
func TestStdioInputEndsFirst(t *testing.T) {
	ns := netnstest.New(t)
	o := listenOptions(ns, Stdio)
	o.Repeat = 1
	var out bytes.Buffer
	s := serve(t, ns, o, strings.NewReader("greeting"), &out)
	c := s.dial(own6, kernelpeer.Plain, "")
	if got, err := io.ReadAll(c); err != nil || string(got) != "greeting" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := io.WriteString(c, "late"); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if err := s.wait(); err != nil || out.String() != "late" {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

// With more than one connection each gets all of the input, one after the other.
func TestStdioRepeated(t *testing.T) {
	ns := netnstest.New(t)
	o := listenOptions(ns, Stdio)
	o.Repeat = 3
	long := strings.Repeat("0123456789abcde\n", 1<<16) // 1 MiB
	var out bytes.Buffer
	s := serve(t, ns, o, strings.NewReader(long), &out)
	for i := range 3 {
		got, info := s.ask(own4, kernelpeer.SendTo, fmt.Sprint("question", i, " "))
		if got != long || info.SYNData != (i > 0) {
			t.Errorf("connection %d: %d bytes of %d, the kernel says %+v", i+1, len(got), len(long), info)
		}
	}
	if err := s.wait(); err != nil || out.String() != "question0 question1 question2 " {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

func TestStdioFailures(t *testing.T) {
	full := errors.New("disk full")
	for name, c := range map[string]struct {
		in      io.Reader
		out     io.Writer
		repeat  int
		idle    time.Duration
		client  func(*testing.T, kernelpeer.Conn)
		want    error
		message string
	}{
		"reset":        {strings.NewReader("x"), io.Discard, 1, limit, reset, syscall.ECONNRESET, "reset the connection"},
		"input":        {failing{}, io.Discard, 1, limit, nil, errInput, ""},
		"output":       {strings.NewReader("x"), writerFunc(func([]byte) (int, error) { return 0, full }), 1, limit, nil, full, "writing what the peer sent"},
		"output, kept": {strings.NewReader("x"), writerFunc(func([]byte) (int, error) { return 0, full }), 2, limit, nil, full, "writing what the peer sent"},
		"idle":         {nothing{}, io.Discard, 1, 50 * time.Millisecond, readAll, nil, "nothing came or went for 50ms (--idle)"},
	} {
		t.Run(name, func(t *testing.T) {
			ns := netnstest.New(t)
			o := listenOptions(ns, Stdio)
			o.Repeat, o.Idle = c.repeat, c.idle
			if n, ok := c.in.(nothing); ok {
				n.ctx = t.Context()
				c.in = n
			}
			s := serve(t, ns, o, c.in, c.out)
			if c.client != nil {
				c.client(t, s.dial(own4, kernelpeer.Plain, "data"))
			} else if conn, err := kernelpeer.Dial(s.ctx, ns, kernelpeer.ClientConfig{Remote: s.l.Addrs()[0], Data: []byte("data")}); err == nil {
				defer conn.Close() // it may be reset before it is there
			}
			err := s.wait()
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.message) {
				t.Errorf("got %v, want %v and %q", err, c.want, c.message)
			}
		})
	}
}

// nothing is an input on which nothing comes.
type nothing struct{ ctx context.Context }

func (n nothing) Read([]byte) (int, error) { <-n.ctx.Done(); return 0, io.EOF }

// reset waits for the first byte and ends a connection with a RST.
func reset(t *testing.T, c kernelpeer.Conn) {
	t.Helper()
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	if err := errors.Join(c.SetLinger(0), c.Close()); err != nil {
		t.Error(err)
	}
}

// readAll reads to the end and closes.
func readAll(t *testing.T, c kernelpeer.Conn) {
	t.Helper()
	if _, err := io.ReadAll(c); err != nil {
		t.Error(err)
	}
	_ = c.Close()
}

// A connection that breaks is told of, and is the end of itself alone.
func TestServiceOutlivesItsConnections(t *testing.T) {
	ns := netnstest.New(t)
	s := serve(t, ns, listenOptions(ns, Echo), nil, nil)
	reset(t, s.dial(own4, kernelpeer.Plain, "x"))
	if r := s.ended(); !strings.Contains(r.Error, "reset") {
		t.Errorf("got %+v", r)
	}
	if answer, _ := s.ask(own4, kernelpeer.Plain, "y"); answer != "y" {
		t.Errorf("got %q", answer)
	}
	s.ended()
}

// One more than may be served at a time waits for its turn.
func TestConnectionsAreLimited(t *testing.T) {
	ns := netnstest.New(t)
	o := listenOptions(ns, Echo)
	o.MaxConnections = 1
	s := serve(t, ns, o, nil, nil)
	first := s.dial(own4, kernelpeer.Plain, "1")
	if _, err := io.ReadFull(first, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	second := s.dial(own4, kernelpeer.Plain, "2") // the stack's queue takes it
	<-s.begun
	select {
	case <-s.begun:
		t.Error("two are served")
	default:
	}
	if err := second.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := second.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes, %v for one whose turn has not come", n, err)
	}
	if err := second.SetReadDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	_ = first.Close()
	if _, err := io.ReadFull(second, make([]byte, 1)); err != nil {
		t.Errorf("its turn never came: %v", err)
	}
}

// Stopped: what a connection has sent is answered, and this side closed.
func TestStopIsInGoodOrder(t *testing.T) {
	for _, service := range []Service{Stdio, Echo, Exec} {
		ns := netnstest.New(t)
		o := listenOptions(ns, service)
		o.Command = "cat"
		o.Repeat = UntilStopped
		s := serve(t, ns, o, strings.NewReader("data"), io.Discard)
		c := s.dial(own4, kernelpeer.Plain, "data")
		if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		s.stop(errStopped)
		if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
			t.Errorf("service %d: %q, %v, want an end in good order", service, rest, err)
		}
		_ = c.Close()
		if err := s.wait(); !errors.Is(err, errStopped) {
			t.Errorf("service %d: %v", service, err)
		}
		if r := s.ended(); service == Exec && !strings.Contains(r.Error, "signal: terminated") {
			t.Errorf("%+v", r)
		}
	}
}

// A client that does not end has to, and so has a command that does not listen.
func TestStopHasALimit(t *testing.T) {
	for _, service := range []Service{Stdio, Echo, Exec} {
		ns := netnstest.New(t)
		o := listenOptions(ns, service)
		o.Command = "trap '' TERM; echo data; while :; do sleep 1000; done"
		o.Repeat = UntilStopped
		s := serveUntil(t, ns, o, 10*time.Millisecond, strings.NewReader("data"), io.Discard)
		c := s.dial(own4, kernelpeer.Plain, "data")
		if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		s.stop(errStopped)
		if err := s.wait(); !errors.Is(err, errStopped) {
			t.Errorf("service %d: %v", service, err)
		}
		if r := s.ended(); r.Error == "" {
			t.Errorf("service %d: %+v", service, r)
		}
	}
}

func TestExec(t *testing.T) {
	ns := netnstest.New(t)
	o := listenOptions(ns, Exec)
	o.Command = `echo $TCPREMOTEIP $TCPLOCALIP $TCPLOCALPORT; echo complaint >&2; tr a-z A-Z`
	s := serve(t, ns, o, nil, nil)
	for i := range 2 {
		answer, info := s.ask(own4, kernelpeer.SendTo, "question")
		if want := "198.18.77.1 198.18.77.2 7777\nQUESTION"; answer != want || info.SYNData != (i > 0) {
			t.Errorf("got %q, want %q, the kernel says %+v", answer, want, info)
		}
		if r := s.ended(); r.Error != "" || r.FastOpen != (i > 0) {
			t.Errorf("got %+v", r)
		}
	}
	if got := s.talk.String(); got != "complaint\ncomplaint\n" {
		t.Errorf("standard error %q", got)
	}
}

// How a command ends is told; what it wrote before is delivered, and what it never
// read does not hurt.
func TestExecThatEnds(t *testing.T) {
	ns := netnstest.New(t)
	for command, want := range map[string]struct{ answer, err string }{
		"echo done; exit 3":        {"done\n", "the command ended: exit status 3"},
		"echo done; kill -9 $$":    {"done\n", "signal: killed"},
		"exec <&-; echo done":      {"done\n", ""},
		"exec >&-; cat >/dev/null": {"", ""},
		"no-such-command":          {"", "exit status 127"},
	} {
		o := listenOptions(ns, Exec)
		o.Command, o.Repeat = command, 1
		s := serve(t, ns, o, nil, nil)
		if answer, _ := s.ask(own4, kernelpeer.Plain, strings.Repeat("question", 1000)); answer != want.answer {
			t.Errorf("%s: got %q", command, answer)
		}
		if r := s.ended(); !strings.Contains(r.Error, want.err) || want.err == "" && r.Error != "" {
			t.Errorf("%s: %+v, want %q", command, r, want.err)
		}
		if err := s.wait(); err != nil {
			t.Errorf("%s: %v", command, err)
		}
		if err := s.l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// What a command has left behind in its group ends with the connection.
func TestExecLeavesNothingBehind(t *testing.T) {
	ns := netnstest.New(t)
	o := listenOptions(ns, Exec)
	o.Command = "trap '' TERM; sleep 1000 >/dev/null 2>&1 & echo $!"
	s := serve(t, ns, o, nil, nil)
	answer, _ := s.ask(own4, kernelpeer.Plain, "x")
	pid, err := strconv.Atoi(strings.TrimSpace(answer))
	if err != nil {
		t.Fatal(err)
	}
	if r := s.ended(); r.Error != "" {
		t.Errorf("got %+v", r)
	}
	if !isGone(pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		t.Error("what it started goes on")
	}
}

// A command does not get at the TUN, and is gone with what it has started when its
// client is.
func TestExecIsContained(t *testing.T) {
	ns := netnstest.New(t)
	o := listenOptions(ns, Exec)
	o.Command = `for f in /proc/$$/fd/*; do readlink $f; done; echo .; sleep 1000 & echo $$ $!; wait`
	s := serve(t, ns, o, nil, nil)
	c := s.dial(own4, kernelpeer.Plain, "x")
	var lines []string
	var pids [2]int
	for buf := make([]byte, 1); pids[0] == 0; {
		line := ""
		for !strings.HasSuffix(line, "\n") {
			if _, err := io.ReadFull(c, buf); err != nil {
				t.Fatal(err)
			}
			line += string(buf)
		}
		if _, err := fmt.Sscan(line, &pids[0], &pids[1]); err != nil {
			pids[0] = 0
		}
		lines = append(lines, line)
	}
	if all := strings.Join(lines, ""); strings.Contains(all, "tun") || !strings.Contains(all, "pipe:") {
		t.Errorf("its descriptors:\n%s", all)
	}
	if err := errors.Join(c.SetLinger(0), c.Close()); err != nil {
		t.Fatal(err)
	}
	s.ended()
	if err := syscall.Kill(pids[0], 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the command is there: %v", err)
	}
	// The one that it started is nobody's child now: at most a zombie for a moment.
	if !isGone(pids[1]) {
		t.Error("what it started goes on")
	}
}

// isGone waits for the end of a process that was sent a signal, whoever its parent
// is.
func isGone(pid int) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return errors.Is(err, unix.ESRCH)
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(limit/time.Millisecond))
		if !errors.Is(err, unix.EINTR) {
			return err == nil && n == 1
		}
	}
}

// client is an HTTP client that connects from the kernel.
func (s *serving) client() *http.Client {
	tr := &http.Transport{DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
		c, err := kernelpeer.Dial(ctx, s.ns, kernelpeer.ClientConfig{Remote: netip.MustParseAddrPort(address), Method: kernelpeer.Deferred})
		return c.TCPConn, err
	}}
	s.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: limit}
}

// get fetches a file and returns status and body.
func get(t *testing.T, c *http.Client, at netip.Addr, path string) (int, string) {
	t.Helper()
	r, err := c.Get(fmt.Sprintf("http://%v/%s", netip.AddrPortFrom(at, 7777), path))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

// files makes a directory with files in it.
func files(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestHTTP(t *testing.T) {
	ns := netnstest.New(t)
	large := strings.Repeat("0123456789abcde\n", 1<<17) // 2 MiB
	dir := filepath.Join(files(t, map[string]string{"www/a.txt": "hello", "www/large": large, "secret": "secret"}), "www")
	if err := os.Symlink("../secret", filepath.Join(dir, "way-out")); err != nil {
		t.Fatal(err)
	}
	o := listenOptions(ns, HTTP)
	o.Dir = dir
	s := serve(t, ns, o, nil, nil)
	for _, own := range []netip.Addr{own4, own6} {
		c := s.client()
		for path, want := range map[string]string{"a.txt": "hello", "large": large, "": `<a href="a.txt">`} {
			if status, body := get(t, c, own, path); status != http.StatusOK || !strings.Contains(body, want) {
				t.Errorf("%v, %q: status %d, %d bytes", own, path, status, len(body))
			}
		}
		for _, path := range []string{"way-out", "../secret", "%2e%2e/secret", "none"} {
			if status, body := get(t, c, own, path); status == http.StatusOK || strings.Contains(body, "secret\n") {
				t.Errorf("%v, %q: status %d, %q", own, path, status, body)
			}
		}
		c.CloseIdleConnections()
		if r := s.ended(); r.FastOpen || r.Error != "" || r.BytesSent < int64(len(large)) {
			t.Errorf("the first connection, kept alive: %+v", r)
		}
		get(t, c, own, "a.txt")
		c.CloseIdleConnections()
		if r := s.ended(); !r.FastOpen || r.BytesInSYN == 0 {
			t.Errorf("the second: %+v", r)
		}
	}
	if s.talk.String() != "" {
		t.Errorf("talk: %s", s.talk.String())
	}
}

// Stopped, it ends the connections that nobody uses, and answers what was asked on the
// others. No other limit would end them.
func TestHTTPStopIsInGoodOrder(t *testing.T) {
	ns := netnstest.New(t)
	large := strings.Repeat("0123456789abcde\n", 1<<18) // 4 MiB: more than the buffers of both ends
	dir := files(t, map[string]string{"small": "hello", "large": large})
	o := listenOptions(ns, HTTP)
	o.Dir, o.Idle = dir, 0
	s := serveUntil(t, ns, o, time.Hour, nil, nil)
	ask := func(name string) (kernelpeer.Conn, *bufio.Reader, *http.Response) {
		c := s.dial(own4, kernelpeer.Plain, "GET /"+name+" HTTP/1.1\r\nHost: x\r\n\r\n")
		r := bufio.NewReader(c)
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c, r, answer
	}
	unused := s.dial(own4, kernelpeer.Plain, "") // net/http waits 5 s for its request
	idle, rest, answer := ask("small")
	if body, err := io.ReadAll(answer.Body); err != nil || string(body) != "hello" {
		t.Errorf("%q, %v", body, err)
	}
	busy, _, answered := ask("large")
	s.stop(errStopped)
	if more, err := io.ReadAll(rest); err != nil || len(more) > 0 {
		t.Errorf("the idle connection: %q, %v, want its end", more, err)
	}
	if body, err := io.ReadAll(answered.Body); err != nil || string(body) != large {
		t.Errorf("the busy one: %d bytes of %d, %v", len(body), len(large), err)
	}
	for _, c := range []kernelpeer.Conn{unused, idle, busy} {
		if more, err := io.ReadAll(c); err != nil || len(more) > 0 {
			t.Errorf("%q, %v, want the end", more, err)
		}
		_ = c.Close()
	}
	if err := s.wait(); !errors.Is(err, errStopped) {
		t.Errorf("got %v", err)
	}
	for range 3 {
		s.ended()
	}
}

// Stopped, it waits until what was answered has come to the client, whose connection
// net/http has closed long ago.
func TestHTTPStopDelivers(t *testing.T) {
	ns := netnstest.New(t)
	text := strings.Repeat("0123456789abcde\n", 6<<10) // 96 KiB: half of our buffer takes what the client's window does not
	dir := files(t, map[string]string{"a": text})
	o := listenOptions(ns, HTTP)
	o.Dir = dir
	s := serve(t, ns, o, nil, nil)
	c := s.dial(own4, kernelpeer.Plain, "GET /a HTTP/1.0\r\n\r\n")
	if r := s.ended(); r.Error != "" || r.BytesSent < int64(len(text)) {
		t.Errorf("%+v", r)
	}
	s.stop(errStopped)
	for { // it listens no more: it is about to end
		c, err := kernelpeer.Dial(s.ctx, ns, kernelpeer.ClientConfig{Remote: netip.AddrPortFrom(own4, 7777)})
		if err != nil {
			break
		}
		_ = c.Close()
	}
	select {
	case err := <-s.done:
		t.Fatalf("it does not wait for its client: %v", err)
	case <-time.After(200 * time.Millisecond): // it has had the time to be wrong
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(answer.Body); err != nil || string(body) != text {
		t.Errorf("%d bytes of %d, %v", len(body), len(text), err)
	}
	_ = c.Close()
	if err := s.wait(); !errors.Is(err, errStopped) {
		t.Errorf("got %v", err)
	}
}

// A client that takes nothing has to end, too.
func TestHTTPStopHasALimit(t *testing.T) {
	ns := netnstest.New(t)
	dir := files(t, map[string]string{"large": strings.Repeat("x", 16<<20)})
	o := listenOptions(ns, HTTP)
	o.Dir, o.Idle = dir, 0
	s := serveUntil(t, ns, o, 10*time.Millisecond, nil, nil)
	c := s.dial(own4, kernelpeer.Plain, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := io.ReadFull(c, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	s.stop(errStopped)
	if err := s.wait(); !errors.Is(err, errStopped) {
		t.Errorf("got %v", err)
	}
	if r := s.ended(); r.Error == "" || r.BytesSent == 0 {
		t.Errorf("%+v", r)
	}
}

// A client that goes away in the middle is told of, and others are served.
func TestHTTPClientGoesAway(t *testing.T) {
	ns := netnstest.New(t)
	dir := files(t, map[string]string{"large": strings.Repeat("x", 16<<20)})
	o := listenOptions(ns, HTTP)
	o.Dir, o.FastOpen = dir, false
	s := serve(t, ns, o, nil, nil)
	for range 2 {
		c := s.dial(own4, kernelpeer.SendTo, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, err := io.ReadFull(c, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		if info, err := c.Info(); err != nil || info.SYNData {
			t.Errorf("Fast Open is off, and the kernel says %+v, %v", info, err)
		}
		if err := errors.Join(c.SetLinger(0), c.Close()); err != nil {
			t.Fatal(err)
		}
		if r := s.ended(); !strings.Contains(r.Error, "reset") || r.FastOpen {
			t.Errorf("%+v", r)
		}
	}
}

// One on which nothing moves ends by itself, and the report says why.
func TestHTTPIdle(t *testing.T) {
	ns := netnstest.New(t)
	dir := files(t, map[string]string{"large": strings.Repeat("x", 16<<20)})
	o := listenOptions(ns, HTTP)
	o.Dir, o.Idle = dir, 100*time.Millisecond
	s := serveUntil(t, ns, o, 10*time.Millisecond, nil, nil)
	c := s.dial(own4, kernelpeer.Plain, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
	if r := s.ended(); !strings.Contains(r.Error, "--idle") {
		t.Errorf("%+v", r)
	}
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client was told %v", err)
	}
}

// As many connections as were asked for, kept alive for as long as their clients
// want.
func TestHTTPRepeated(t *testing.T) {
	ns := netnstest.New(t)
	dir := files(t, map[string]string{"a": "A"})
	o := listenOptions(ns, HTTP)
	o.Dir, o.Repeat = dir, 2
	s := serve(t, ns, o, nil, nil)
	first, second := s.client(), s.client()
	for _, c := range []*http.Client{first, second, first} {
		if status, body := get(t, c, own4, "a"); status != http.StatusOK || body != "A" {
			t.Errorf("status %d, %q", status, body)
		}
	}
	// Others are told at once that nobody will serve them.
	_, err := kernelpeer.Dial(s.ctx, ns, kernelpeer.ClientConfig{Remote: netip.AddrPortFrom(own4, 7777)})
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a third one: %v", err)
	}
	first.CloseIdleConnections()
	second.CloseIdleConnections()
	if err := s.wait(); err != nil {
		t.Error(err)
	}
}

func TestListenRefuses(t *testing.T) {
	ns := netnstest.New(t)
	for name, c := range map[string]struct {
		address string
		change  func(*ListenOptions)
		kind    error
		want    string
	}{
		"nothing":          {"", nil, fault.ErrUsage, "is not [HOST]:PORT"},
		"no port":          {"10.9.0.2:", nil, fault.ErrUsage, "is not [HOST]:PORT"},
		"IPv6 bare":        {"fd00::2", nil, fault.ErrUsage, "is not [HOST]:PORT"},
		"no such service":  {":no-such-service", nil, fault.ErrUsage, "is no TCP port"},
		"port too large":   {":65536", nil, fault.ErrUsage, "is no TCP port"},
		"no such name":     {"no-such-name.invalid:80", nil, fault.ErrUnavailable, "no-such-name.invalid"},
		"loopback":         {"127.0.0.1:80", nil, fault.ErrUsage, "loopback address"},
		"broadcast":        {"255.255.255.255:80", nil, fault.ErrUsage, "broadcast address"},
		"multicast":        {"[ff02::1]:80", nil, fault.ErrUsage, "multicast address"},
		"link-local":       {"[fe80::1%lo]:80", nil, fault.ErrUsage, "address of one link"},
		"other family":     {"10.9.0.2:80", func(o *ListenOptions) { o.Family = 6 }, fault.ErrUsage, "is no IPv6 address"},
		"link's family":    {"10.9.0.2:80", func(o *ListenOptions) { o.Link = netip.MustParsePrefix("fd00::1/126") }, fault.ErrUsage, "address family"},
		"the host's end":   {"10.9.0.1:80", func(o *ListenOptions) { o.Link = netip.MustParsePrefix("10.9.0.1/24") }, fault.ErrUsage, "10.9.0.2 can"},
		"network":          {"10.9.0.0:80", func(o *ListenOptions) { o.Link = netip.MustParsePrefix("10.9.0.1/24") }, fault.ErrUsage, "10.9.0.2 can"},
		"link's broadcast": {"10.9.0.255:80", func(o *ListenOptions) { o.Link = netip.MustParsePrefix("10.9.0.1/24") }, fault.ErrUsage, "10.9.0.2 can"},
		"link too small":   {":80", func(o *ListenOptions) { o.Link = netip.MustParsePrefix("10.0.0.1/31") }, fault.ErrUsage, "two usable addresses"},
		"family":           {":80", func(o *ListenOptions) { o.Family = 5 }, fault.ErrUsage, "address family 5"},
		"repeat":           {":80", func(o *ListenOptions) { o.Repeat = -1 }, fault.ErrUsage, "--repeat"},
		"connections":      {":80", func(o *ListenOptions) { o.MaxConnections = 0 }, fault.ErrUsage, "--max-connections"},
		"backlog":          {":80", func(o *ListenOptions) { o.Backlog = 0 }, fault.ErrUsage, "--backlog"},
		"pending":          {":80", func(o *ListenOptions) { o.Pending = 65536 }, fault.ErrUsage, "--fast-open-pending"},
		"idle":             {":80", func(o *ListenOptions) { o.Idle = -1 }, fault.ErrUsage, "--idle"},
		"empty command":    {":80", func(o *ListenOptions) { o.Service, o.Command = Exec, " " }, fault.ErrUsage, "--exec"},
		"no directory":     {":80", func(o *ListenOptions) { o.Service, o.Dir = HTTP, "" }, fault.ErrUsage, "--http"},
		"not there":        {":80", func(o *ListenOptions) { o.Service, o.Dir = HTTP, "/no/such" }, fault.ErrUnavailable, "/no/such"},
		"a file":           {":80", func(o *ListenOptions) { o.Service, o.Dir = HTTP, "/dev/null" }, fault.ErrUsage, "is a file"},
		"device taken":     {":80", func(o *ListenOptions) { o.Device = "lo" }, tun.ErrBusy, "taken"},
		"no namespace":     {":80", func(o *ListenOptions) { o.Namespace = "/no/such" }, fault.ErrUnavailable, "lsns"},
	} {
		o := listenOptions(ns, Echo)
		o.Address = c.address
		if c.change != nil {
			c.change(&o)
		}
		l, err := Listen(t.Context(), o)
		if err == nil {
			t.Errorf("%s: it listens", name)
			_ = l.Close()
			continue
		}
		refuses(t, name, err, c.kind, c.want)
	}
}

// Where a listener is, for each way to say it, and that the host reaches it there.
func TestWhereAListenerIs(t *testing.T) {
	at := func(all ...string) (want []netip.AddrPort) {
		for _, a := range all {
			want = append(want, netip.MustParseAddrPort(a))
		}
		return want
	}
	for name, c := range map[string]struct {
		address string
		change  func(*ListenOptions)
		want    []netip.AddrPort
	}{
		"a port":              {"7777", nil, at("198.18.77.2:7777", "[fd77:736b::2]:7777")},
		"a service":           {":http", nil, at("198.18.77.2:80", "[fd77:736b::2]:80")},
		"all":                 {"[::]:7777", nil, at("198.18.77.2:7777", "[fd77:736b::2]:7777")},
		"all of IPv4":         {"0.0.0.0:7777", nil, at("198.18.77.2:7777")},
		"one family":          {":7777", func(o *ListenOptions) { o.Family = 6 }, at("[fd77:736b::2]:7777")},
		"the link's family":   {":7777", func(o *ListenOptions) { o.Link = netip.MustParsePrefix("10.9.0.1/24") }, at("10.9.0.2:7777")},
		"an address on it":    {"10.9.0.77:7777", func(o *ListenOptions) { o.Link = netip.MustParsePrefix("10.9.0.1/24") }, at("10.9.0.77:7777")},
		"an address apart":    {"203.0.113.5:7777", nil, at("203.0.113.5:7777")},
		"an IPv6 one":         {"[2001:db8::5]:7777", nil, at("[2001:db8::5]:7777")},
		"one it would choose": {"198.18.77.2:7777", nil, at("198.18.77.2:7777")},
		"the second choice":   {"198.18.77.6:7777", nil, at("198.18.77.6:7777")},
		"the host's place":    {"198.18.77.1:7777", nil, at("198.18.77.1:7777")},
	} {
		t.Run(name, func(t *testing.T) {
			ns := netnstest.New(t)
			o := listenOptions(ns, Echo)
			o.Address = c.address
			if c.change != nil {
				c.change(&o)
			}
			s := serve(t, ns, o, nil, nil)
			if got := s.l.Addrs(); fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Fatalf("it is at %v, want %v", got, c.want)
			}
			for _, a := range c.want {
				conn, err := kernelpeer.Dial(s.ctx, ns, kernelpeer.ClientConfig{Remote: a, Data: []byte("x")})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
					t.Error(err)
				}
				_ = conn.Close()
				s.ended()
			}
			if text := s.l.String(); !strings.HasPrefix(text, "on "+c.want[0].String()) {
				t.Errorf("it says %q", text)
			}
		})
	}
}

// Port 0 is one that is free, and the host's own addresses are its kernel's.
func TestPortZeroAndTheHostsOwn(t *testing.T) {
	ns := netnstest.New(t)
	o := listenOptions(ns, Echo)
	o.Address = ":0"
	s := serve(t, ns, o, nil, nil)
	at := s.l.Addrs()
	if len(at) != 2 || at[0].Port() == 0 || at[0].Port() != at[1].Port() {
		t.Errorf("it is at %v", at)
	}
	o.Address = netip.AddrPortFrom(host4, 80).String()
	if _, err := Listen(t.Context(), o); !errors.Is(err, fault.ErrUnavailable) || !strings.Contains(err.Error(), "the host itself") {
		t.Errorf("got %v", err)
	}
}
