package netcat

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"
)

// stdio sends the source, and what comes goes to out, until both sides have closed
// theirs.
func (c *accepted) stdio(src source, out io.Writer) error {
	src.stop = c.soft.Done()
	m := meter{begin: time.Now()}
	err := transfer(c.hard, c, src, out, &m, bothDecide)
	if err == nil {
		err = end(c.hard, c)
	}
	if errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("%v reset the connection: %w", c.remote, err)
	}
	return err
}

// echo sends back what comes, until the peer has closed its side.
func (c *accepted) echo() error {
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(c.soft, buf)
		switch {
		case errors.Is(err, io.EOF):
			return end(c.hard, c)
		case c.soft.Err() != nil:
			return c.finish()
		case err != nil:
			return err
		}
		if err := c.Write(c.hard, buf[:n]); err != nil {
			return err
		}
	}
}
