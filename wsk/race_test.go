//go:build race

package wsk_test

// raceEnabled says whether the race detector is on, under which pools drop what they
// are given and calls allocate.
const raceEnabled = true
