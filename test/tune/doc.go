// Package tune measures what netstack's choices are worth, in virtual time: how long
// a transfer takes over a link, setting by setting.
//
//	settings × links × seeds ──► stack ══ rate, queue, delay, loss, reordering ══► stack
//	                                                                 │
//	                       table: time of a setting / time of the defaults
//
// The figures of DESIGN.md are made by these, a minute or two each:
//
//	go test ./test/tune -v -run '^TestTable$/Clean' -tune.runs=1 -tune.bytes=10000000
//	go test ./test/tune -v -run '^TestTable$/Loss' -tune.runs=5 -tune.bytes=10000000
//	go test ./test/tune -v -run '^TestTable$/Reordering' -tune.runs=5 -tune.bytes=10000000
//	go test ./test/tune -v -run '^TestTable$/(Loss|Reordering)' -tune.runs=25 -tune.bytes=3000000 -tune.settings='RACK|RTO'
//	go test ./test/tune -v -run '^TestHangs$' -tune.hangs=1500
//
// A plain go test makes a small run of each, which keeps them alive. There is no state and no
// goroutine beside those of the simulated stacks, which end with each transfer.
//
// Limits: time is exact and does not depend on the machine, so one seed gives one
// figure; what is not seen is what processors do in that time, and super-segments. Every
// packet has 1500 bytes at most and is processed alone, so each gets an
// acknowledgement of its own. The measurement against the kernel, with both, is
// `wskstackd bench throughput --delay 25ms`.
package tune
