package proxy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"testing"

	socks "golang.org/x/net/proxy"
)

// serve is the smallest proxy: it grants everything and is the peer itself,
// which answers an HTTP request with what was asked for.
func serve(t *testing.T, conn net.Conn, asked chan<- Request) {
	defer conn.Close()
	var n Negotiation
	buf := make([]byte, 512)
	for done := false; !done; {
		k, err := conn.Read(buf)
		if err != nil {
			t.Error(err)
			return
		}
		var answer []byte
		if answer, done, err = n.Take(buf[:k]); err != nil {
			t.Error(err)
		}
		if _, err := conn.Write(answer); err != nil {
			t.Error(err)
		}
	}
	asked <- n.Request()
	if _, err := conn.Write(n.Protocol().Answer(Granted, netip.AddrPort{}, "")); err != nil {
		t.Error(err)
	}
	if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
		t.Error(err)
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"); err != nil {
		t.Error(err)
	}
}

// pipe is a way to serve, for one connection.
type pipe struct{ net.Conn }

func (p pipe) Dial(string, string) (net.Conn, error) { return p.Conn, nil }

// The clients of golang.org/x/net and of net/http, whose authors read the same
// RFCs, are understood and understand the answers.
func TestOthersClients(t *testing.T) {
	for _, target := range []string{"example.com:80", "192.0.2.1:80", "[2001:db8::1]:8080"} {
		for name, open := range map[string]func(net.Conn) (net.Conn, error){
			"x/net/proxy": func(c net.Conn) (net.Conn, error) {
				d, err := socks.SOCKS5("tcp", "proxy:1080", nil, pipe{c})
				if err != nil {
					return nil, err
				}
				return d.Dial("tcp", target)
			},
			"net/http": func(c net.Conn) (net.Conn, error) {
				r := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: target}, Host: target}
				if err := r.Write(c); err != nil {
					return nil, err
				}
				// The answer has no body, so nothing of what follows is read.
				answer, err := http.ReadResponse(bufio.NewReader(c), r)
				if err == nil && answer.StatusCode != http.StatusOK {
					err = errors.New(answer.Status)
				}
				return c, err
			},
		} {
			t.Run(name+" to "+target, func(t *testing.T) {
				ours, theirs := net.Pipe()
				asked, ended := make(chan Request, 1), make(chan struct{})
				go func() { defer close(ended); serve(t, ours, asked) }()
				conn, err := open(theirs)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				get(t, conn)
				<-ended
				want, err := ParseTarget(target)
				if err != nil {
					t.Fatal(err)
				}
				if got := <-asked; got.Target != want {
					t.Errorf("asked for %v, want %v", got, want)
				}
			})
		}
	}
}

func get(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if b, err := io.ReadAll(r.Body); err != nil || string(b) != "ok" {
		t.Errorf("got %q, %v", b, err)
	}
}
