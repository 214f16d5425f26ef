package fastopen

import (
	"io"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen/tfo"
)

// Keys are what cookies are made with; see package tfo.
type Keys = tfo.Keys

// ParseKeys reads keys in the form of Linux's net.ipv4.tcp_fastopen_key; Keys.Text
// writes it.
func ParseKeys(text string) (Keys, error) { return tfo.ParseKeys(text) }

// ServerConfig is what the listeners of a Link share. The zero value is right for
// a server of its own.
type ServerConfig struct {
	// KeyLife is how long a key makes cookies; it is honoured for as long
	// again. 0 means tfo.DefaultKeyLife, less than 0 that keys do not change by
	// themselves.
	KeyLife time.Duration
	// Random makes keys; nil means crypto/rand.
	Random io.Reader
	// Replays bounds the SYNs that are remembered so that a duplicate opens no
	// connection and brings its data no second time; 0 means tfo.DefaultReplays, about 250 bytes each.
	Replays int
}

// Keys are those in force now; they are secret. It fails only if no key can be
// made.
func (l *Link) Keys() (Keys, error) { return l.keys.Keys(l.now()) }

// SetKeys puts keys in force, as servers do that share an address or their
// clients. From then on they do not change by themselves. Keep the keys of
// before as backup, or clients have to ask for cookies again. They are taken as they
// are: with one of zeroes everybody can make cookies (ParseKeys refuses it).
func (l *Link) SetKeys(k Keys) { l.keys.Set(l.now(), k) }

// RotateKeys makes a fresh key now and keeps the one of before as backup.
func (l *Link) RotateKeys() error { return l.keys.Rotate(l.now()) }
