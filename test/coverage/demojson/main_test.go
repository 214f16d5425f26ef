package main

import (
	"bytes"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const good = `{"wire":"tun","peer":"linux-kernel","one_way_delay_ms":20,"ok":true,
"peer_counters":{"TCPFastOpenPassive":3,"TCPFastOpenActive":3},
"runs":[
{"name":"connect-then-send","family":"ipv4","bytes":16,"bytes_in_syn":0,"bytes_accepted_in_syn":0,"ttfb_ms":81,"round_trips":2,"fast_open":false,"reason":"off"},
{"name":"cookie-request","family":"ipv4","bytes":16,"bytes_in_syn":0,"bytes_accepted_in_syn":0,"ttfb_ms":81,"round_trips":2,"fast_open":false,"reason":"no cookie"},
{"name":"fast-open","family":"ipv4","bytes":16,"bytes_in_syn":16,"bytes_accepted_in_syn":16,"ttfb_ms":41,"round_trips":1,"fast_open":true,"reason":""},
{"name":"fast-open-large","family":"ipv4","bytes":5000,"bytes_in_syn":1420,"bytes_accepted_in_syn":1420,"ttfb_ms":81,"round_trips":2,"fast_open":true,"reason":""},
{"name":"syn-data-dropped","family":"ipv4","bytes":16,"bytes_in_syn":16,"bytes_accepted_in_syn":0,"ttfb_ms":1081,"round_trips":2,"fast_open":false,"reason":"lost"},
{"name":"cancel","family":"ipv4","bytes":0,"bytes_in_syn":0,"bytes_accepted_in_syn":0,"ttfb_ms":0,"round_trips":0,"fast_open":false,"reason":"cancelled"},
{"name":"server-fast-open","family":"ipv4","bytes":64,"bytes_in_syn":64,"bytes_accepted_in_syn":64,"ttfb_ms":41.5,"round_trips":1,"fast_open":true,"reason":"","accepted_before_ack":true}]}`

func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		name, old, new string // good with old replaced by new
		args           []string
		code           int
		want           string
	}{
		{"every claim holds", "", "", []string{"--wire", "tun", "--peer", "linux-kernel"}, exitOK, "every claim holds"},
		{"another wire than asked for", "", "", []string{"--wire", "veth,memory"}, exitFalse, `wire is "tun"`},
		{"another peer", `"linux-kernel"`, `"wskstack"`, []string{"--peer", "linux-kernel"}, exitFalse, `peer is "wskstack"`},
		{"not ok", `"ok":true`, `"ok":false`, nil, exitFalse, "ok is false"},
		{"kernel counted nothing", `"TCPFastOpenPassive":3`, `"TCPFastOpenPassive":0`, nil, exitFalse, "the kernel counted no"},
		{"kernel's client counted nothing", `"TCPFastOpenActive":3`, `"TCPFastOpenActive":0`, nil, exitFalse, "the kernel counted no TCPFastOpenActive"},
		{"server after the ACK", `"accepted_before_ack":true`, `"accepted_before_ack":false`, nil, exitFalse, "accepted_before_ack is not true"},
		{"server that does not say", `,"accepted_before_ack":true`, ``, nil, exitFalse, "accepted_before_ack is not true"},
		{"server, a part of the bytes", `"bytes_in_syn":64,"bytes_accepted_in_syn":64`, `"bytes_in_syn":64,"bytes_accepted_in_syn":32`, nil, exitFalse, "server-fast-open: 64 bytes, 64 in the SYN, 32 accepted"},
		{"server, slow", `"ttfb_ms":41.5`, `"ttfb_ms":81.5`, nil, exitFalse, "server-fast-open had its first byte after 81.5 ms"},
		{"no counters", `"peer_counters"`, `"counters"`, nil, exitFalse, "peer_counters is missing"},
		{"run missing", `"cancel"`, `"cancelled"`, nil, exitFalse, "run cancel is missing"},
		{"field missing", `"fast_open":true,"reason":""`, `"fast_open":true`, nil, exitFalse, "lacks family"},
		{"slow first byte", `"ttfb_ms":41`, `"ttfb_ms":46.1`, nil, exitFalse, "fast-open had its first byte after 46.1 ms"},
		{"impossibly fast first byte", `"ttfb_ms":41`, `"ttfb_ms":4`, nil, exitFalse, "fast-open had its first byte"},
		{"round trips", `"round_trips":1`, `"round_trips":2`, nil, exitFalse, "fast-open took 2 round trips"},
		{"part of the bytes", `"bytes_in_syn":16,"bytes_accepted_in_syn":16`, `"bytes_in_syn":8,"bytes_accepted_in_syn":8`, nil, exitFalse, "fast-open: 16 bytes, 8 in the SYN"},
		{"large wholly in the SYN", `"bytes":5000`, `"bytes":1420`, nil, exitFalse, "fast-open-large"},
		{"plain connect with data", `"connect-then-send","family":"ipv4","bytes":16,"bytes_in_syn":0`, `"connect-then-send","family":"ipv4","bytes":16,"bytes_in_syn":4`, nil, exitFalse, "connect-then-send: 4 bytes in the SYN"},
		{"dropped and yet accepted", `"bytes_in_syn":16,"bytes_accepted_in_syn":0`, `"bytes_in_syn":16,"bytes_accepted_in_syn":16`, nil, exitFalse, "syn-data-dropped: 16"},
		{"no JSON", good, "wire: tun", nil, exitUsage, ""},
		{"two objects", good, good + good, nil, exitUsage, ""},
		{"unknown flag", "", "", []string{"--nonsense"}, exitUsage, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.old != "" && !strings.Contains(good, tc.old) {
				t.Fatalf("the case changes nothing: no %q", tc.old)
			}
			var stdout, stderr bytes.Buffer
			code := run(tc.args, strings.NewReader(strings.Replace(good, tc.old, tc.new, 1)), &stdout, &stderr)
			if code != tc.code {
				t.Errorf("exit code %d, want %d: %s%s", code, tc.code, stdout.String(), stderr.String())
			}
			if !strings.Contains(stdout.String(), tc.want) {
				t.Errorf("printed %q, want %q in it", stdout.String(), tc.want)
			}
		})
	}
}
