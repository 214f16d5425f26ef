//go:build nooffload

package tun

// neverOffload is set by the build tag nooffload: every device keeps to ordinary
// packets, as with Config.NoOffload. The tests of all rooms are run like that once.
const neverOffload = true
