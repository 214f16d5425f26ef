package netcat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// shell runs the commands.
const shell = "/bin/sh"

// exec runs a command with the connection as its standard input and output.
//
//	peer ──► feed ──► pipe ──► command ──► pipe ──► drain ──► peer
//
// The command is the leader of a process group of its own. When the connection
// ought to end the group gets SIGTERM, and SIGKILL when it has to. A FIN of the
// peer is the end of the command's input, the end of its output is our FIN.
func (c *accepted) exec(command string, talk io.Writer) error {
	p, err := c.start(command, talk)
	if err != nil {
		return err
	}
	exited, gone := context.WithCancel(c.hard)
	defer gone()
	context.AfterFunc(c.soft, func() { p.signal(syscall.SIGTERM) })
	context.AfterFunc(c.hard, p.kill)

	var fed error
	var running sync.WaitGroup
	running.Go(func() { // ends with the command
		p.watch()
		gone()
		_ = p.in.Close()
	})
	running.Go(func() { // ends with the command, or with the connection
		if fed = c.feed(exited, p.in); fed != nil {
			c.stop(fed) // a peer that is gone needs no answer
		}
	})
	drained := c.drain(p.out)
	if drained != nil {
		c.stop(drained)
	}
	_ = c.Endpoint().CloseWrite() // finish does it again, and looks at the error
	running.Wait()
	status := p.reap()
	switch {
	case drained != nil:
		return drained
	case fed != nil:
		return fed
	}
	return errors.Join(status, c.finish())
}

// feed copies from the peer to the command, until the peer's FIN, or until the
// command wants no more or has ended.
func (c *accepted) feed(exited context.Context, to *os.File) error {
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(exited, buf)
		switch {
		case errors.Is(err, io.EOF), exited.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return nil // the command reads no more, which is its right
		}
	}
}

// drain copies from the command to the peer, until the end of the output.
func (c *accepted) drain(from *os.File) error {
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if err := c.Write(c.hard, buf[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return nil // the end, or closed because it takes too long
		}
	}
}

// process is a command that runs. It is there, if only as a zombie, until it is
// reaped: until then its number is nobody else's.
type process struct {
	cmd *exec.Cmd
	// in and out are this program's ends of the pipes.
	in, out *os.File

	mu     sync.Mutex
	reaped bool // guarded by mu
}

// start starts a command.
func (c *accepted) start(command string, talk io.Writer) (*process, error) {
	stdin, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, stdin.Close(), in.Close())
	}
	cmd := exec.Command(shell, "-c", command)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, talk
	cmd.Env = append(os.Environ(), c.environment()...)
	cmd.WaitDelay = CloseLimit // for a standard error that somebody keeps open
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	_ = stdin.Close()
	_ = stdout.Close()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the command cannot be started: %w", err), in.Close(), out.Close())
	}
	return &process{cmd: cmd, in: in, out: out}, nil
}

// environment tells a command who talks to it, as tcpserver does.
func (c *accepted) environment() []string {
	local := c.Endpoint().LocalAddr()
	of := func(name string, a netip.AddrPort) []string {
		return []string{"TCP" + name + "IP=" + a.Addr().Unmap().String(), "TCP" + name + "PORT=" + strconv.Itoa(int(a.Port()))}
	}
	return append(of("LOCAL", local), append(of("REMOTE", c.remote), "PROTO=TCP")...)
}

// watch waits for the end of the command, and leaves it to be reaped.
func (p *process) watch() {
	for {
		err := unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// reap takes a command that has ended off the system, with what it left behind in
// its group. The error says how it ended, if not well.
func (p *process) reap() error {
	p.signal(syscall.SIGKILL)
	p.mu.Lock()
	p.reaped = true
	p.mu.Unlock()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("the command ended: %w", err)
	}
	return nil
}

// signal sends a signal to the command and all that it has started and not put
// elsewhere.
func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		_ = syscall.Kill(-p.cmd.Process.Pid, s) // there may be nobody but a zombie
	}
}

// kill ends the command, and the waiting for what it left behind.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	_ = p.in.Close()
	_ = p.out.Close()
}
