//go:build !race

package iolink_test

const raceEnabled = false
