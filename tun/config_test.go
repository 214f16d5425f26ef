package tun

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCheckName(t *testing.T) {
	good := []string{"", "t", "tun0", "wsk-a_b.c", "fifteen-bytes-x", "a@b+c"}
	for _, name := range good {
		if err := checkName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	bad := []string{
		"sixteen-bytes-xx", strings.Repeat("x", 300), ".", "..", "all", "default", "a/b", "a:b", "a b", "a\tb",
		"tun%d", "a\x00b", "tün0", "\xff", "a\nb",
	}
	for _, name := range bad {
		err := checkName(name)
		if !errors.Is(err, ErrBadName) {
			t.Errorf("%q: got %v, want ErrBadName", name, err)
			continue
		}
		if strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("%q: the error is not one clean line: %q", name, err)
		}
	}
}

func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"tun0", "sixteen-bytes-xx", "a/b", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		err := checkName(name)
		if err == nil && (len(name) > 15 || strings.ContainsAny(name, "/: \t\n\v\f\r%\x00")) {
			t.Fatalf("%q passed", name)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Fatalf("%q: the error has several lines", name)
		}
	})
}

func TestConfigCheck(t *testing.T) {
	zero := []netip.Prefix{{}}
	cases := []struct {
		name string
		cfg  Config
		bad  bool
	}{
		{"zero value", Config{}, false},
		{"all set", Config{Name: "t0", MTU: 1280, Addresses: prefixes("192.0.2.1/24", "2001:db8::1/64"), Routes: prefixes("0.0.0.0/0", "::/0")}, false},
		{"least MTU", Config{MTU: 68, Addresses: prefixes("192.0.2.1/24")}, false},
		{"most MTU", Config{MTU: 65535}, false},
		{"MTU too small", Config{MTU: 67}, true},
		{"MTU too large", Config{MTU: 65536}, true},
		{"MTU negative", Config{MTU: -1}, true},
		{"MTU too small for an IPv6 address", Config{MTU: 1279, Addresses: prefixes("2001:db8::1/64")}, true},
		{"MTU too small for an IPv6 route", Config{MTU: 1279, Routes: prefixes("2001:db8::/64")}, true},
		{"address without value", Config{Addresses: zero}, true},
		{"address with bad length", Config{Addresses: []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr("192.0.2.1"), 33)}}, true},
		{"address mapped", Config{Addresses: []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr("::ffff:192.0.2.1"), 120)}}, true},
		{"address unspecified", Config{Addresses: prefixes("0.0.0.0/0")}, true},
		{"address multicast", Config{Addresses: prefixes("ff02::1/64")}, true},
		{"address twice", Config{Addresses: prefixes("192.0.2.1/24", "192.0.2.1/25")}, true},
		{"route without value", Config{Routes: zero}, true},
		{"route with host bits", Config{Routes: prefixes("192.0.2.1/24")}, true},
		{"route mapped", Config{Routes: []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr("::ffff:192.0.2.0"), 120)}}, true},
		{"route twice", Config{Routes: prefixes("192.0.2.0/24", "192.0.2.0/24")}, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := c.cfg.check()
			if c.bad && !errors.Is(err, ErrBadConfig) {
				t.Errorf("got %v, want ErrBadConfig", err)
			}
			if !c.bad && err != nil {
				t.Error(err)
			}
		})
	}
}

// TestErrorKinds: every kind can be told from the others, and the standard
// library's kinds are recognised.
func TestErrorKinds(t *testing.T) {
	kinds := []error{ErrBadConfig, ErrBadName, ErrNoPrivilege, ErrNoDevice, ErrBusy, ErrNamespace, ErrSystem}
	for i, kind := range kinds {
		err := withUndo(fail(kind, "because %d", i), errors.New("more"))
		for j, other := range kinds {
			if errors.Is(err, other) != (i == j) {
				t.Errorf("%v is %v: %v", err, other, i != j)
			}
		}
	}
	std := []struct{ err, target error }{
		{ErrNoPrivilege, os.ErrPermission}, {ErrNoDevice, os.ErrNotExist}, {ErrNoDevice, fs.ErrNotExist},
		{ErrClosed, os.ErrClosed}, {ErrClosed, net.ErrClosed},
	}
	for _, c := range std {
		if !errors.Is(c.err, c.target) {
			t.Errorf("%v is not %v", c.err, c.target)
		}
	}
	if errors.Is(ErrGone, os.ErrClosed) || !errors.Is(ErrGone, syscall.ENODEV) || errors.Is(fail(ErrSystem, "x"), os.ErrPermission) {
		t.Error("a kind says too much")
	}
}

// TestErrnoTables walks every row of the tables from errno to kind.
func TestErrnoTables(t *testing.T) {
	rows := []struct {
		table string
		of    func(error) error
		errno unix.Errno
		want  error
	}{
		{"node", nodeError, unix.EACCES, ErrNoPrivilege},
		{"node", nodeError, unix.EPERM, ErrNoPrivilege},
		{"node", nodeError, unix.ENOENT, ErrNoDevice},
		{"node", nodeError, unix.ENOTDIR, ErrNoDevice},
		{"node", nodeError, unix.ENXIO, ErrNoDevice},
		{"node", nodeError, unix.ENODEV, ErrNoDevice},
		{"node", nodeError, unix.ENOTTY, ErrNoDevice},
		{"node", nodeError, unix.ELOOP, ErrNoDevice},
		{"node", nodeError, unix.EMFILE, ErrSystem},
		{"node", nodeError, unix.ENFILE, ErrSystem},
		{"node", nodeError, unix.EIO, ErrSystem},
		{"create", named(createError), unix.EPERM, ErrNoPrivilege},
		{"create", named(createError), unix.EBUSY, ErrBusy},
		{"create", named(createError), unix.EEXIST, ErrBusy},
		{"create", named(createError), unix.ENOTTY, ErrNoDevice},
		{"create", named(createError), unix.EINVAL, ErrSystem},
		{"create", named(createError), unix.ENOMEM, ErrSystem},
		{"adopt", named(adoptError), unix.EPERM, ErrNoPrivilege},
		{"adopt", named(adoptError), unix.EBUSY, ErrBusy},
		{"adopt", named(adoptError), unix.EINVAL, ErrBusy},
		{"adopt", named(adoptError), unix.ENOMEM, ErrSystem},
	}
	for _, r := range rows {
		err := r.of(os.NewSyscallError("ioctl", r.errno)) // as water wraps it
		if !errors.Is(err, r.want) {
			t.Errorf("%s %v: got %v, want %v", r.table, r.errno, err, r.want)
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s %v: more than one line: %q", r.table, r.errno, err)
		}
	}
}

func named(of func(string, error) error) func(error) error {
	return func(err error) error { return of("t0", err) }
}
