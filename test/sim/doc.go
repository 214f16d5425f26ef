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
// TestReplayIsExact makes each of its seeds three times, with 1, 2 and 8 processors,
// and wants the same trace; -sim.replays says of how many seeds.
//
// # The chaos rows
//
// Faults 1 to 23 of the test plan, each with the values that its row names. 14 to 16
// are faults of devices and routes, which a simulated wire does not have.
//
//	 1  random loss, up to 30 %               TestRow01Loss
//	 2  loss in bursts                        TestRow02Bursts
//	 3  loss of the k-th packet, k to 40      TestRow03EveryPacketOnce
//	 4  loss of each pair of the first 12     TestRow04EveryPair
//	 5  duplication                           TestRow05Duplication
//	 6  reordering                            TestRow06Reordering
//	 7  one bit changed                       TestRow07Corruption
//	 8  changes that keep the checksum        TestRow08SwappedWords
//	 9  cut and padded packets                TestRow09CutAndPadded
//	10  delay, jitter, spikes                 TestRow10Delay
//	11  bandwidth and queue limits            TestRow11Bandwidth
//	12  one-way blackouts                     TestRow12Blackout
//	13  the link flaps                        TestRow13Flaps
//	17  options are stripped                  TestRow17Stripping
//	18  Fast Open is dropped, or reset        TestRow18Droppers
//	19  MSS clamped, sequence numbers         TestRow19Rewriters
//	    rewritten, segments split and merged
//	20  the NAT takes another address         TestRow20Rebinding
//	21  the peer reboots, or is silent        TestRow21Reboot
//	22  close and reset, in every state and   TestRow22EveryPoint (of a server),
//	    at every byte                         TestRow22EveryPointOfTheClient
//	23  the window is 0 for an hour, and      TestRow23ZeroWindow,
//	    shrinks                               TestRow23ShrinkingWindow
package sim
