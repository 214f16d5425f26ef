package tfo

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/wskstack/wskstack/test/covers"
)

const linuxKey = "a0bf63f7-ed803d81-cd641d30-cebc4a90"

func mustKeys(t *testing.T, text string) Keys {
	t.Helper()
	k, err := ParseKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestCookiesAreLinuxes(t *testing.T) {
	covers.IDs(t, "S-03", "S-47")
	const other = "a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4"
	for _, v := range []struct{ key, client, server, cookie string }{
		{linuxKey, "10.248.0.2", "192.168.0.2", "00abaaabe8e954c2"},
		{linuxKey, "10.248.0.3", "192.168.0.2", "1313a2da994a0951"},
		{linuxKey, "10.248.0.3", "192.168.0.3", "76d2c1c530f51f79"},
		{"", "10.248.0.2", "192.168.0.2", "93b7aa4f550f8a1a"},
		{other, "192.0.2.1", "192.168.0.1", "3021b9d889017eeb"},
		{other, "::ffff:192.0.2.1", "::ffff:192.168.0.1", "3021b9d889017eeb"},
		{other, "fd3d:fa7b:d17d::1", "fd3d:a0b:17d6::1", "c1d1e9742a47a9bc"},
	} {
		k := Key{} // a vector, though no key that can be set
		if v.key != "" {
			k = mustKeys(t, v.key).Primary
		}
		got := k.Cookie(netip.MustParseAddr(v.client), netip.MustParseAddr(v.server))
		if got.String() != v.cookie {
			t.Errorf("%s to %s: cookie %v, want %s", v.client, v.server, got, v.cookie)
		}
	}
	key := mustKeys(t, linuxKey).Primary
	if got := hex.EncodeToString(key[:]); got != "f763bfa0813d80ed301d64cd904abcce" {
		t.Errorf("the key's bytes are %s", got)
	}
}

func TestKeyText(t *testing.T) {
	for _, text := range []string{linuxKey, linuxKey + ",00000001-00000002-00000003-ffffffff"} {
		if got := mustKeys(t, text).Text(); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	if got := mustKeys(t, " 1-2-3-4\n").Text(); got != "00000001-00000002-00000003-00000004" {
		t.Errorf("short groups became %q", got)
	}
	for _, bad := range []string{"", "a0bf63f7", linuxKey + ",", linuxKey + "," + linuxKey + "," + linuxKey,
		"a0bf63f7-ed803d81-cd641d30-cebc4a9g", "1a0bf63f7-ed803d81-cd641d30-cebc4a90", "-1-2-3-4",
		"a0bf63f7-ed803d81-cd641d30-+ebc4a90", linuxKey + "-00000000",
		"00000000-00000000-00000000-00000000", "0-0-0-0", linuxKey + ",00000000-00000000-00000000-00000000"} {
		k, err := ParseKeys(bad)
		if err == nil || k != (Keys{}) {
			t.Errorf("%q was taken for keys", bad)
		} else if len(bad) > 8 && strings.Contains(err.Error(), bad) {
			t.Errorf("the error shows the key: %v", err)
		}
	}
}

func TestKeysDoNotShowThemselves(t *testing.T) {
	k := mustKeys(t, linuxKey+","+linuxKey)
	for _, s := range []string{fmt.Sprint(k), fmt.Sprintf("%v %+v %#v %s", k, k, k, k), fmt.Sprintf("%v %#v %s", k.Primary, k.Primary, k.Primary)} {
		if strings.Contains(s, "63") || strings.Contains(s, "247") {
			t.Errorf("a key is in %q", s)
		}
	}
}

func TestCheckWantsTheWholeCookie(t *testing.T) {
	covers.IDs(t, "S-10", "S-11", "S-14", "S-15")
	client, server := netip.MustParseAddr("10.248.0.2"), netip.MustParseAddr("192.168.0.2")
	k := mustKeys(t, linuxKey+",1-2-3-4")
	right := k.Primary.Cookie(client, server)
	of := func(b []byte) Cookie {
		c, ok := MakeCookie(b)
		if !ok {
			t.Fatalf("no cookie has %d bytes", len(b))
		}
		return c
	}
	for name, v := range map[string]struct {
		cookie Cookie
		want   match
	}{
		"right":             {right, primaryMatch},
		"of the backup key": {k.Backup.Cookie(client, server), backupMatch},
		"of another client": {k.Primary.Cookie(server, server), noMatch},
		"of another server": {k.Primary.Cookie(client, client), noMatch},
		"4 bytes of it":     {of(right.Bytes()[:4]), noMatch},
		"6 bytes of it":     {of(right.Bytes()[:6]), noMatch},
		"longer":            {of(append(right.Bytes(), make([]byte, 8)...)), noMatch},
		"zeros":             {of(make([]byte, 8)), noMatch},
		"none":              {Cookie{}, noMatch},
	} {
		if got, fresh := k.check(client, server, v.cookie); got != v.want || fresh != right {
			t.Errorf("%s: match %d and cookie %v, want %d and %v", name, got, fresh, v.want, right)
		}
	}
	k.HasBackup = false
	if got, _ := k.check(client, server, k.Backup.Cookie(client, server)); got != noMatch {
		t.Error("a key that is no backup any more is honoured")
	}
}

func ring(life time.Duration) *KeyRing { return NewKeyRing(life, rand.New(rand.NewSource(1))) }

func keysAt(t *testing.T, r *KeyRing, at time.Duration) Keys {
	t.Helper()
	k, err := r.Keys(at)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeysTurnByThemselves(t *testing.T) {
	r := ring(time.Hour)
	start := 10 * time.Minute
	a := keysAt(t, r, start)
	if a.HasBackup || a.Primary == (Key{}) {
		t.Fatal("the first key")
	}
	if keysAt(t, r, start+time.Hour-1) != a {
		t.Error("turned too early")
	}
	b := keysAt(t, r, start+time.Hour)
	if b.Backup != a.Primary || !b.HasBackup || b.Primary == a.Primary {
		t.Error("after one life the key before is the backup")
	}
	// Lives are counted from the start, not from when somebody asks.
	c := keysAt(t, r, start+2*time.Hour+30*time.Minute)
	if c.Backup != b.Primary {
		t.Error("after two lives")
	}
	if keysAt(t, r, start+3*time.Hour-1) != c {
		t.Error("a life counts from when it was first seen")
	}
	// The key before last is honoured no more, however long nobody asked.
	d := keysAt(t, r, start+9*time.Hour)
	if d.HasBackup || d.Primary == c.Primary {
		t.Error("a key is honoured after its second life")
	}
}

func TestKeysByHand(t *testing.T) {
	covers.IDs(t, "S-15")
	r := ring(time.Hour)
	mine := mustKeys(t, linuxKey)
	keysAt(t, r, 0)
	r.Set(time.Minute, mine)
	if keysAt(t, r, time.Minute) != mine || keysAt(t, r, 99*time.Hour) != mine {
		t.Error("keys that were set by hand turn by themselves")
	}
	if err := r.Rotate(time.Hour); err != nil {
		t.Fatal(err)
	}
	if k := keysAt(t, r, 2*time.Hour); k.Backup != mine.Primary || !k.HasBackup || k.Primary == mine.Primary {
		t.Error("rotated by hand")
	}
	never := ring(-1)
	if keysAt(t, never, 0) != keysAt(t, never, 999*time.Hour) {
		t.Error("keys turn although they must not")
	}
}

func TestNoRandomness(t *testing.T) {
	r := NewKeyRing(time.Hour, bytes.NewReader(make([]byte, KeySize)))
	k, err := r.Keys(0)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Keys(time.Hour)
	if err == nil || got != k {
		t.Errorf("got %v, %v; want the key so far and an error", got == k, err)
	}
	if _, err := NewKeyRing(0, bytes.NewReader(nil)).Keys(0); err == nil || errors.Unwrap(err) == nil {
		t.Error("a key out of nothing")
	}
}
