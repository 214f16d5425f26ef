// Package embed has no code of its own: its tests use the stack as programs do that
// know package net alone, with software that others wrote.
//
//	net/http, crypto/tls, HTTP/2, websocket, nettest
//	        │ DialContext, net.Listener, net.Conn
//	      stack ─ fastopen ─ capture ─ a pipe ─ another stack
//	                                 └ TUN ─ the Linux kernel
//
// Those against the kernel need root, or a user namespace with /dev/net/tun.
package embed
