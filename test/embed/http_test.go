package embed

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"golang.org/x/net/websocket"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/capture"
	"github.com/wskstack/wskstack/stack/fastopen"
)

// dial is what http.Transport wants of a dialer.
type dial func(ctx context.Context, network, address string) (net.Conn, error)

// serve runs an HTTP server on a stack, with Fast Open, until the test ends.
func serve(t *testing.T, s *stack.Stack, h http.Handler, secure bool) *httptest.Server {
	t.Helper()
	lc := stack.ListenConfig{Stack: s, FastOpen: new(fastopen.ListenConfig)}
	l, err := lc.Listen(t.Context(), "tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(h)
	_ = srv.Listener.Close() // package net's
	srv.Listener = l
	if secure {
		srv.EnableHTTP2 = true
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	scheme, _, _ := strings.Cut(srv.URL, ":")
	srv.URL = scheme + "://example.com" // its certificate's
	return srv
}

// client is an HTTP client that dials so, and its count of connections.
func client(t *testing.T, srv *httptest.Server, to dial) (*http.Client, *atomic.Int32) {
	t.Helper()
	conns := new(atomic.Int32)
	tr := srv.Client().Transport.(*http.Transport).Clone()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	tr.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		conns.Add(1)
		return to(ctx, network, "10.0.0.2:"+port)
	}
	tr.ForceAttemptHTTP2 = true
	tr.MaxIdleConnsPerHost = 100
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}, conns
}

// echo answers with the request's body, all of which it reads first: the server of
// HTTP/1 ends a body once the answer begins.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		_, err = w.Write(body)
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

// post sends a body and wants it back.
func post(c *http.Client, url string, body []byte, proto string) error {
	resp, err := c.Post(url, "application/octet-stream", bytes.NewReader(body))
	if err != nil {
		return err
	}
	got, err := io.ReadAll(resp.Body)
	err = errors.Join(err, resp.Body.Close())
	if err == nil && (!bytes.Equal(got, body) || resp.Proto != proto) {
		err = fmt.Errorf("%d bytes of %d over %s, want %s", len(got), len(body), resp.Proto, proto)
	}
	return err
}

// TestHTTP sends 10,000 requests from ten goroutines over connections that are kept
// alive, in each way to dial and over HTTP/2.
func TestHTTP(t *testing.T) {
	for name, tt := range map[string]struct {
		dialer stack.Dialer
		secure bool
		proto  string
		total  int
	}{
		"HTTP/1.1":           {proto: "HTTP/1.1", total: 10_000},
		"HTTP/1.1, lazy":     {proto: "HTTP/1.1", total: 500, dialer: stack.Dialer{Lazy: true}},
		"HTTP/2 over TLS":    {secure: true, proto: "HTTP/2.0", total: 1000},
		"HTTP/2, TLS, lazy":  {secure: true, proto: "HTTP/2.0", total: 200, dialer: stack.Dialer{Lazy: true}},
		"HTTP/1.1, each new": {proto: "HTTP/1.1", total: 300, dialer: stack.Dialer{Lazy: true}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := stacks(t, nil)
			srv := serve(t, b, http.HandlerFunc(echo), tt.secure)
			tt.dialer.Stack = a
			c, conns := client(t, srv, tt.dialer.DialContext)
			c.Transport.(*http.Transport).DisableKeepAlives = name == "HTTP/1.1, each new"
			const workers = 10
			var all sync.WaitGroup
			for worker := range workers {
				all.Go(func() {
					for i := range tt.total / workers {
						body := bytes.Repeat([]byte{byte(worker), byte(i)}, 10+i%500)
						if err := post(c, srv.URL, body, tt.proto); err != nil {
							t.Errorf("request %d: %v", i, err)
							return
						}
					}
				})
			}
			all.Wait()
			t.Logf("%d requests over %d connections; %d of them opened by their SYN", tt.total, conns.Load(),
				b.FastOpen().Stats().TCPFastOpenPassive)
			if name == "HTTP/1.1, each new" {
				if n := b.FastOpen().Stats().TCPFastOpenPassive; n == 0 {
					t.Error("no request came in a SYN")
				}
			} else if n := int(conns.Load()); n > max(2*workers, tt.total/20) {
				// net/http dials while it waits for an idle connection, so there are some more
				// than workers on a busy machine.
				t.Errorf("%d connections for %d requests: they are not kept alive", n, tt.total)
			}
			if err := post(c, srv.URL, bytes.Repeat([]byte("large"), 1<<18), tt.proto); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTLSInTheSYN dials TLS 1.3 lazily twice and looks at the wire: the second SYN
// begins with the ClientHello; one without post-quantum key shares fits whole.
func TestTLSInTheSYN(t *testing.T) {
	for name, tt := range map[string]struct {
		curves []tls.CurveID
		whole  bool
	}{
		"Go's own ClientHello": {},
		"a short ClientHello":  {curves: []tls.CurveID{tls.X25519}, whole: true},
	} {
		t.Run(name, func(t *testing.T) {
			var wire lockedBuffer
			var tap *capture.Link
			a, b := stacks(t, func(below gstack.LinkEndpoint) gstack.LinkEndpoint {
				var err error
				if tap, err = capture.New(below, &wire, capture.Config{}); err != nil {
					t.Fatal(err)
				}
				return tap
			})
			srv := serve(t, b, http.HandlerFunc(echo), true)
			d := &stack.Dialer{Stack: a, Lazy: true, LazyDelay: -1} // TLS writes first, however late
			c, _ := client(t, srv, d.DialContext)
			tr := c.Transport.(*http.Transport)
			tr.TLSClientConfig.MinVersion = tls.VersionTLS13
			tr.TLSClientConfig.CurvePreferences = tt.curves
			for range 2 {
				if err := post(c, srv.URL, []byte("hello"), "HTTP/2.0"); err != nil {
					t.Fatal(err)
				}
				tr.CloseIdleConnections()
			}
			if err := tap.Stop(); err != nil {
				t.Fatal(err)
			}
			first, second := synPayloads(t, wire.bytes())
			if len(first) != 0 {
				t.Errorf("the first SYN has %d bytes", len(first))
			}
			// A record of type handshake (22) with a ClientHello (1), RFC 8446 §5.1, §4.
			if len(second) < 6 || second[0] != 22 || second[5] != 1 {
				t.Fatalf("the second SYN has % x", second)
			}
			record := 5 + int(second[3])<<8 + int(second[4])
			if whole := len(second) == record; whole != tt.whole {
				t.Errorf("%d bytes of a ClientHello of %d", len(second), record)
			}
		})
	}
}

// lockedBuffer is a buffer for a writer on another goroutine.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.buf.Bytes())
}

// synPayloads are the payloads of the two SYNs of a capture.
func synPayloads(t *testing.T, pcap []byte) (first, second []byte) {
	t.Helper()
	r, err := pcapgo.NewNgReader(bytes.NewReader(pcap), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	var syns [][]byte
	for {
		data, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		tcp, ok := gopacket.NewPacket(data, layers.LayerTypeIPv4, gopacket.Default).Layer(layers.LayerTypeTCP).(*layers.TCP)
		if ok && tcp.SYN && !tcp.ACK {
			syns = append(syns, tcp.Payload)
		}
	}
	if len(syns) != 2 {
		t.Fatalf("%d SYNs, want 2", len(syns))
	}
	return syns[0], syns[1]
}

// TestWebsocket keeps a stream open both ways over a connection that HTTP began.
func TestWebsocket(t *testing.T) {
	a, b := stacks(t, nil)
	srv := serve(t, b, websocket.Handler(func(ws *websocket.Conn) {
		for m := []byte(nil); websocket.Message.Receive(ws, &m) == nil; {
			if websocket.Message.Send(ws, m) != nil {
				return
			}
		}
	}), false)
	conn, err := a.DialContext(t.Context(), "tcp", "10.0.0.2:"+fmt.Sprint(srv.Listener.Addr().(*net.TCPAddr).Port))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := websocket.NewConfig("ws://server/", "http://server/")
	if err != nil {
		t.Fatal(err)
	}
	ws, err := websocket.NewClient(cfg, conn)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		sent := bytes.Repeat([]byte{byte(i)}, 1+i*20)
		if err := websocket.Message.Send(ws, sent); err != nil {
			t.Fatal(err)
		}
		var got []byte
		if err := websocket.Message.Receive(ws, &got); err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("message %d: %d bytes of %d, %v", i, len(got), len(sent), err)
		}
	}
	if err := ws.Close(); err != nil {
		t.Error(err)
	}
}

// TestServerShutdown stops an HTTP server and then the stack below it, while a request
// is being answered: it gets its answer.
func TestServerShutdown(t *testing.T) {
	a, b := stacks(t, nil)
	l, err := b.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	asked, goOn := make(chan struct{}), make(chan struct{})
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-goOn
		_, _ = io.WriteString(w, "done")
	})}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	tr := &http.Transport{DialContext: a.DialContext, DisableKeepAlives: true}
	answered := make(chan error, 1)
	go func() {
		resp, err := (&http.Client{Transport: tr}).Get("http://10.0.0.2/")
		if err == nil {
			var body []byte
			body, err = io.ReadAll(resp.Body)
			if string(body) != "done" {
				err = errors.Join(err, fmt.Errorf("the answer is %q", body))
			}
			err = errors.Join(err, resp.Body.Close())
		}
		answered <- err
	}()
	<-asked
	stopped := make(chan error, 1)
	go func() { stopped <- errors.Join(srv.Shutdown(t.Context()), b.Shutdown(t.Context())) }()
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve: %v", err)
	}
	close(goOn)
	for name, c := range map[string]chan error{"the request": answered, "Shutdown": stopped} {
		if err := <-c; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
