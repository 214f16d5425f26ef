//go:build nooffload

package kernel

const offloads = false

const flowBytes = 4 << 20
