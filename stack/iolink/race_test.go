//go:build race

package iolink_test

// raceEnabled: under the race detector sync.Pool drops entries at random, so
// allocations cannot be counted.
const raceEnabled = true
