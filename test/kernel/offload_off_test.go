//go:build nooffload

package kernel

const offloads = false
