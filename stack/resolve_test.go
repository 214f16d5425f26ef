package stack_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/wskstack/wskstack/stack"
)

// nameServer answers for one name on a stack, over UDP and TCP.
type nameServer struct {
	t        *testing.T
	truncate bool // UDP answers are too long
	overUDP  atomic.Int32
	overTCP  atomic.Int32
}

// serve begins to answer on port 53.
func (n *nameServer) serve(s *stack.Stack) {
	n.t.Helper()
	p, err := s.ListenPacket("udp", ":53")
	if err != nil {
		n.t.Fatal(err)
	}
	l, err := s.Listen("tcp", ":53")
	if err != nil {
		n.t.Fatal(err)
	}
	go func() {
		for buf := make([]byte, 2000); ; {
			k, from, err := p.ReadFrom(buf)
			if err != nil {
				return // the stack is closed
			}
			n.overUDP.Add(1)
			_, _ = p.WriteTo(n.answer(buf[:k], n.truncate), from)
		}
	}()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.overTCP.Add(1)
			go n.stream(c)
		}
	}()
}

// stream answers one connection.
func (n *nameServer) stream(c net.Conn) {
	defer func() { _ = c.Close() }()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, query); err != nil {
			return
		}
		answer := n.answer(query, false)
		binary.BigEndian.PutUint16(size[:], uint16(len(answer)))
		if _, err := c.Write(append(size[:], answer...)); err != nil {
			return
		}
	}
}

func (n *nameServer) answer(query []byte, truncated bool) []byte {
	var q dnsmessage.Message
	if err := q.Unpack(query); err != nil || len(q.Questions) != 1 {
		return nil
	}
	asked := q.Questions[0]
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, RecursionAvailable: true, Truncated: truncated},
		Questions: q.Questions}
	h := dnsmessage.ResourceHeader{Name: asked.Name, Class: asked.Class, TTL: 60}
	switch known := strings.HasPrefix(asked.Name.String(), "server.wskstack.test."); {
	case !known:
		m.RCode = dnsmessage.RCodeNameError
	case truncated:
	case asked.Type == dnsmessage.TypeA:
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: addrB.As4()}})
	case asked.Type == dnsmessage.TypeAAAA:
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: addrB6.As16()}})
	}
	b, err := m.Pack()
	if err != nil {
		n.t.Error(err)
	}
	return b
}

// TestNames looks names up over the stack itself: at a server that answers over UDP,
// at one whose answers need TCP, and at one behind another that is not there.
func TestNames(t *testing.T) {
	server, nobody := netip.AddrPortFrom(addrB, 53), netip.AddrPortFrom(addrB, 54)
	for name, tt := range map[string]struct {
		truncate bool
		servers  []netip.AddrPort
	}{
		"over UDP":          {servers: []netip.AddrPort{server}},
		"over IPv6":         {servers: []netip.AddrPort{netip.AddrPortFrom(addrB6, 53)}},
		"over TCP":          {servers: []netip.AddrPort{server}, truncate: true},
		"the second server": {servers: []netip.AddrPort{nobody, server}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t, stack.Config{NameServers: tt.servers}, stack.Config{})
			n := &nameServer{t: t, truncate: tt.truncate}
			n.serve(b)
			l, err := b.Listen("tcp", ":80")
			if err != nil {
				t.Fatal(err)
			}
			c, err := a.DialContext(t.Context(), "tcp", "server.wskstack.test.:80")
			if err != nil {
				t.Fatal(err)
			}
			if c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr() != addrB6 {
				t.Errorf("connected to %v", c.RemoteAddr())
			}
			if n.overUDP.Load() == 0 || (n.overTCP.Load() > 0) != tt.truncate {
				t.Errorf("%d queries over UDP, %d over TCP", n.overUDP.Load(), n.overTCP.Load())
			}
			_, err = a.DialContext(t.Context(), "tcp", "nobody.wskstack.test.:80")
			var dns *net.DNSError
			if !errors.As(err, &dns) || !dns.IsNotFound {
				t.Errorf("an unknown name: %v", err)
			}
			u, err := a.DialContext(t.Context(), "udp", "server.wskstack.test.:53")
			if err != nil || !strings.HasSuffix(u.RemoteAddr().String(), ":53") {
				t.Errorf("udp by name: %v, %v", u, err)
			}
			_, _ = c.Close(), l.Close()
		})
	}
}
