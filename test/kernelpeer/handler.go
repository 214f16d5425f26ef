package kernelpeer

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
)

// Stream is a connection as its handler sees it: it remembers what was read.
type Stream struct {
	net.Conn
	tcp *net.TCPConn
	// received belongs to the handler's goroutine until the handler returns.
	received []byte
}

// Read implements io.Reader.
func (s *Stream) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	s.received = append(s.received, b[:n]...)
	return n, err
}

// TCP gives the socket, for CloseWrite, SetLinger and the like. What is read
// from it is not remembered.
func (s *Stream) TCP() *net.TCPConn { return s.tcp }

// Handler serves one connection of a [Server]: it returns when it is done, and
// the server then closes the connection. It reads on its own goroutine only. Its
// error, io.EOF and the end of the server apart, is kept in the record.
type Handler func(s *Stream) error

// Echo sends back all that comes until the client's FIN.
func Echo(s *Stream) error {
	_, err := io.Copy(s, s)
	return err
}

// Sink reads all that comes until the client's FIN.
func Sink(s *Stream) error {
	_, err := io.Copy(io.Discard, s)
	return err
}

// Answer reads a request of n bytes and sends the answer, as often as requests
// come, until the client's FIN.
func Answer(n int, answer []byte) Handler {
	return func(s *Stream) error {
		request := make([]byte, n)
		for {
			if _, err := io.ReadFull(s, request); err != nil {
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
			if _, err := s.Write(answer); err != nil {
				return err
			}
		}
	}
}

// HTTP answers requests without a body, each with 200 and none, until the client's FIN.
func HTTP(s *Stream) error {
	for in := bufio.NewReader(s); ; {
		if _, err := http.ReadRequest(in); err != nil {
			return err
		}
		if _, err := io.WriteString(s, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); err != nil {
			return err
		}
	}
}

// Reset waits for the client's first bytes and then ends the connection with a
// RST.
func Reset(s *Stream) error {
	if _, err := s.Read(make([]byte, 64<<10)); err != nil {
		return err
	}
	return s.tcp.SetLinger(0)
}
