package demo

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
)

// maxRequest bounds what the service reads, in bytes.
const maxRequest = 1 << 20

// serve is the peer's service: it reads a line, all of it, and answers with what
// it got.
func serve(r io.Reader, w io.Writer) error {
	line, err := bufio.NewReader(io.LimitReader(r, maxRequest)).ReadBytes('\n')
	if err != nil {
		return err
	}
	_, err = w.Write(answer(line))
	return err
}

// answer proves what the peer got: its length and its hash.
func answer(request []byte) []byte {
	sum := sha256.Sum256(request)
	return fmt.Appendf(nil, "%d bytes, sha256 %x\n", len(request), sum[:8])
}

// request makes a line of n bytes. No two parts of it look alike, so bytes that
// came twice or in another order would change the hash.
func request(n int) []byte {
	b := make([]byte, 0, n+16)
	b = append(b, "first bytes of the stream"...)
	for i := 0; len(b) < n-1; i++ {
		b = fmt.Appendf(b, " %d", i)
	}
	return append(bytes.Clone(b[:n-1]), '\n')
}
