// Package proxy reads what the client of a proxy asks for, in SOCKS5 (RFC 1928)
// or with HTTP's CONNECT (RFC 9110 §9.3.6), and makes the answers.
//
//	client's bytes ──► Negotiation.Take ──► Request ──► (somebody connects)
//	                        │ bytes to send back              │
//	client          ◄───────┴────────── Request.Answer ◄──────┘ Result
//
// The first byte says which protocol it is: 5 is SOCKS5, a letter is HTTP. One
// table has the code of each result in both protocols (result.go).
//
// # Ownership
//
// Pure: no connection, no clock, no goroutine, no lock. A Negotiation belongs to
// one goroutine. It copies what it is given and holds MaxHead bytes and one piece at
// the most.
// How long a client may take is for the caller to say.
//
// # Limits
//
// SOCKS5 without authentication and with the command CONNECT alone; of HTTP the
// method CONNECT alone. A browser's GET or POST to this port, sent by a page that
// tries what listens on the loopback address, is not answered at all.
package proxy
