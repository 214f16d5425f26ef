package kernelpeer

import (
	"strings"
	"testing"
)

func TestParseNetstat(t *testing.T) {
	const good = "TcpExt: A B C\nTcpExt: 1 18446744073709551615 -1\nIpExt: A\nIpExt: 9\n"
	got, err := parseNetstat([]byte(good), "TcpExt:")
	if err != nil {
		t.Fatal(err)
	}
	if got["A"] != 1 || got["B"] != 1<<64-1 || got["C"] != 1<<64-1 || len(got) != 3 {
		t.Errorf("%v", got)
	}
	for _, bad := range []string{"", "IpExt: A\nIpExt: 1\n", "TcpExt: A\n", "TcpExt: A B\nTcpExt: 1\n", "TcpExt: A\nTcpExt: x\n"} {
		if got, err := parseNetstat([]byte(bad), "TcpExt:"); err == nil {
			t.Errorf("%q gave %v", bad, got)
		}
	}
}

// Every counter is read and subtracted, and none twice.
func TestCountersAreComplete(t *testing.T) {
	var now, earlier Counters
	i := uint64(1)
	for name, field := range now.fields() {
		if !strings.HasPrefix(name, "TCPFastOpen") {
			t.Errorf("%s is no Fast Open counter", name)
		}
		*field = 1000 * i
		*earlier.fields()[name] = i
		i++
	}
	diff := now.Since(earlier)
	for name, field := range diff.fields() {
		if want := 999 * *earlier.fields()[name]; *field != want {
			t.Errorf("%s: %d, want %d", name, *field, want)
		}
	}
}

// The text form, with a key whose raw bytes are known.
func TestKeyText(t *testing.T) {
	k := Key{0xf7, 0x63, 0xbf, 0xa0, 0x81, 0x3d, 0x80, 0xed, 0x30, 0x1d, 0x64, 0xcd, 0x90, 0x4a, 0xbc, 0xce}
	if got := k.String(); got != "a0bf63f7-ed803d81-cd641d30-cebc4a90" {
		t.Errorf("got %s", got)
	}
}
