//go:build !nooffload

package kernel

// offloads: a TUN carries super-segments and unfinished checksums. CI runs these
// tests with the build tag nooffload too.
const offloads = true

// flowBytes is what a connection under load carries each way: enough for something to
// happen meanwhile.
const flowBytes = 48 << 20
