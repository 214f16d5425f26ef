// Package sim holds the simulation tests: whole stacks on the wire of
// stack/stacktest, in virtual time, thousands of seeds long.
//
//	seed ──► scenario: faults × family × roles × payloads ──► run ──► oracles
//	                                                                    │
//	        streams equal, once; ended; nothing left anywhere ◄─────────┘
//
// A plain go test makes a few hundred runs. More, and the replay of one:
//
//	go test ./test/sim -run '^TestStreams$' -sim.runs=20000              what CI does, under 5 minutes on 2 cores
//	go test ./test/sim -run '^TestStreams$' -sim.runs=1000000 -timeout 8h   the long run
//	go test ./test/sim -run '^TestStreams$' -sim.seed=4711               one run, as printed by a failure
//
// -sim.from says with which seed to begin, -sim.dir where the pcapng of a failure
// goes. A failing run prints its seed, this command, and the ladder of packets.
//
// The chaos rows are those of the test plan: faults 1 to 23, each with the values
// that its row names.
package sim
