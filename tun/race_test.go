//go:build race

package tun

// raceEnabled: under the race detector sync.Pool drops entries at random, so
// allocations cannot be counted.
const raceEnabled = true
