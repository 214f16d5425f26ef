package proxy

import "errors"

// MaxHead bounds what a client may send before it has asked for something, in
// bytes. The longest message of SOCKS5 has 262.
const MaxHead = 8 << 10

// ErrProtocol is in the chain of every error of Take.
var ErrProtocol = errors.New("the client does not speak SOCKS5 or HTTP CONNECT as it should")

// refusal is an error of Take with its result.
type refusal struct {
	result Result
	text   string
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return ErrProtocol }

// ResultOf is the result that an error of Take stands for.
func ResultOf(err error) Result {
	var r *refusal
	if errors.As(err, &r) {
		return r.result
	}
	return Failed
}

// Negotiation is what a client and the proxy say to each other before a
// connection is made. The zero value is its beginning.
type Negotiation struct {
	buf  []byte // what no step has used yet
	step step   // nil at the beginning
	req  Request
	done bool
	err  error
}

// step reads the message that buf begins with.
type step func(n *Negotiation) progress

// progress is what a step has done. The zero value: the message is not whole.
type progress struct {
	used   int // bytes of the message
	answer []byte
	next   step
	done   bool
	err    error
}

// Take takes what the client has sent. answer is to be sent back at once, also if
// there is an error, after which the connection is to be closed. done: Request
// says what the client wants. After that or an error nothing more is taken.
func (n *Negotiation) Take(b []byte) (answer []byte, done bool, err error) {
	if n.done || n.err != nil {
		return nil, n.done, n.err
	}
	n.buf = append(n.buf, b...)
	if n.step == nil {
		n.step = first
	}
	for len(n.buf) > 0 {
		p := n.step(n)
		answer = append(answer, p.answer...)
		n.buf = n.buf[p.used:]
		switch {
		case p.err != nil:
			n.err, n.buf = p.err, nil
			return answer, false, p.err
		case p.done:
			n.done = true
			return answer, true, nil
		case p.next == nil:
			return answer, false, nil
		}
		n.step = p.next
	}
	return answer, false, nil
}

// Request is what the client wants, once Take has said that it is done.
func (n *Negotiation) Request() Request { return n.req }

// Early is what the client has sent behind its request, without waiting for the
// answer: the first bytes for the peer. The caller owns them.
func (n *Negotiation) Early() []byte {
	if !n.done {
		return nil
	}
	return n.buf
}

// Protocol is what the client seems to speak, 0 while that is unknown.
func (n *Negotiation) Protocol() Protocol { return n.req.Protocol }

// first tells the protocols apart.
func first(n *Negotiation) progress {
	switch c := n.buf[0]; {
	case c == socksVersion:
		n.req.Protocol = SOCKS5
		return progress{next: greeting}
	case isLetter(c):
		n.req.Protocol = HTTP
		return progress{next: head}
	case c == 4:
		return progress{err: &refusal{VersionUnknown, "the client speaks SOCKS4, which has no IPv6 and no names: use SOCKS5"}}
	}
	return progress{err: &refusal{VersionUnknown, "the client's first byte is of neither SOCKS5 nor HTTP"}}
}
