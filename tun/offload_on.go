//go:build !nooffload

package tun

// neverOffload: see offload_off.go.
const neverOffload = false
