package tfo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/dchest/siphash"
)

// KeySize is the length of a key in bytes.
const KeySize = 16

// Key makes cookies. It is a secret: String does not show it.
type Key [KeySize]byte

// String hides the key.
func (Key) String() string { return "(fast open key)" }

// GoString hides the key.
func (Key) GoString() string { return "(fast open key)" }

// Cookie is the cookie of a client for a server, as Linux makes it: SipHash-2-4
// over the client's and then the server's address as they stand in the SYN, 8
// bytes. An IPv4-mapped address counts as IPv4.
func (k Key) Cookie(client, server netip.Addr) Cookie {
	b := make([]byte, 0, 32)
	b = append(b, client.Unmap().AsSlice()...)
	b = append(b, server.Unmap().AsSlice()...)
	sum := siphash.Hash(binary.LittleEndian.Uint64(k[:]), binary.LittleEndian.Uint64(k[8:]), b)
	c := Cookie{n: 8}
	binary.LittleEndian.PutUint64(c.b[:], sum)
	return c
}

// Keys are what a server makes cookies with: Primary makes and checks them, and
// Backup, if there is one, still checks those made before the last change.
// Machines that share an address need the same keys (RFC 7413 §6.3.4).
type Keys struct {
	Primary   Key
	Backup    Key
	HasBackup bool
}

// String hides the keys; Text shows them.
func (Keys) String() string { return "(fast open keys)" }

// GoString hides the keys.
func (Keys) GoString() string { return "(fast open keys)" }

// Text is the form in which Linux's net.ipv4.tcp_fastopen_key has keys: each as
// four groups of eight hexadecimal digits, the backup after a comma. It is a
// secret.
func (k Keys) Text() string {
	if !k.HasBackup {
		return k.Primary.text()
	}
	return k.Primary.text() + "," + k.Backup.text()
}

// text writes each group as a number whose bytes lie in the key little-endian.
func (k Key) text() string {
	return fmt.Sprintf("%08x-%08x-%08x-%08x",
		binary.LittleEndian.Uint32(k[0:]), binary.LittleEndian.Uint32(k[4:]),
		binary.LittleEndian.Uint32(k[8:]), binary.LittleEndian.Uint32(k[12:]))
}

// ParseKeys reads one key or two in the form of Text. Errors do not repeat the
// text. A key of zeroes is none: Linux shows it where it has not made one yet.
func ParseKeys(text string) (Keys, error) {
	first, second, both := strings.Cut(strings.TrimSpace(text), ",")
	var k Keys
	var err error
	if k.Primary, err = parseKey(first); err != nil {
		return Keys{}, err
	}
	if both {
		k.HasBackup = true
		if k.Backup, err = parseKey(second); err != nil {
			return Keys{}, err
		}
	}
	return k, nil
}

// keyError says what a key looks like, and not what was given.
type keyError struct{}

func (keyError) Error() string {
	return "fast open key: want four groups of up to eight hexadecimal digits joined by '-', " +
		"and a second such key after ',' if there is a backup"
}

func parseKey(text string) (Key, error) {
	groups := strings.Split(text, "-")
	var k Key
	if len(groups) != KeySize/4 {
		return Key{}, keyError{}
	}
	for i, g := range groups {
		n, err := strconv.ParseUint(g, 16, 32)
		if err != nil || len(g) > 8 {
			return Key{}, keyError{}
		}
		binary.LittleEndian.PutUint32(k[4*i:], uint32(n))
	}
	if k == (Key{}) {
		return Key{}, errNoKey
	}
	return k, nil
}

// errNoKey: whoever took that for a key would let everybody make cookies.
var errNoKey = errors.New("fast open key: all zeroes, as Linux shows it before it has a key: " +
	"start a Fast Open listener there, or write a key, which it then uses")

// match is which key a cookie was made with.
type match uint8

const (
	noMatch match = iota
	primaryMatch
	backupMatch
)

// check compares a client's cookie, length and bytes, in constant time. It also
// returns the cookie that the client ought to have.
func (k Keys) check(client, server netip.Addr, c Cookie) (match, Cookie) {
	want := k.Primary.Cookie(client, server)
	switch {
	case c.Equal(want):
		return primaryMatch, want
	case k.HasBackup && c.Equal(k.Backup.Cookie(client, server)):
		return backupMatch, want
	}
	return noMatch, want
}
