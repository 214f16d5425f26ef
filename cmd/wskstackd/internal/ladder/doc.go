// Package ladder turns what a relay saw of one connection into packets with two
// times each, and draws them as a ladder.
//
//	relay events of one connection
//	      |
//	   Trace          packets: left one end, reached the other or was dropped
//	      |
//	      +--> facts: what rode in the SYN, what the SYN-ACK acknowledged
//	      +--> Draw:
//
//	        ms  client                                  server        ms
//	       0.0  |-- SYN, seq 0, len 17 ---------------------->|     20.1
//	      40.5  |<--------------------- SYN-ACK, seq 0, ack 18 |    20.2
//
// Times are relative to the first packet, sequence numbers to each side's
// first, as packet analyzers show them. Nothing here is made up: a line is drawn
// for each packet that was seen and for no other.
//
// The package owns nothing and starts nothing; a Trace is plain data.
//
// Limits: one TCP connection at a time; packets that are not TCP are left out.
package ladder
