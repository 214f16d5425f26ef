package wire_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"

	"github.com/wskstack/wskstack/stack/iolink/frame"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/test/netns/netnstest"
	"github.com/wskstack/wskstack/test/wire"
)

// open opens a wire for a test and closes it after it.
func open(t *testing.T, kind wire.Kind, cfg wire.Config) *wire.Wire {
	t.Helper()
	w, err := wire.Open(kind, cfg)
	netnstest.Require(t, err)
	t.Cleanup(func() {
		for range 2 {
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return w
}

func TestStackAndKernelTalk(t *testing.T) {
	for name, wires := range map[string]struct {
		kind  wire.Kind
		plain bool
	}{"tun": {wire.TUN, false}, "plain tun": {wire.TUN, true}, "veth": {wire.Veth, false}} {
		for _, mtu := range []int{wire.MinMTU, wire.DefaultMTU, 9000} {
			for _, family := range []int{4, 6} {
				t.Run(fmt.Sprintf("%s/%d/IPv%d", name, mtu, family), func(t *testing.T) {
					w := open(t, wires.kind, wire.Config{MTU: mtu, NoOffload: wires.plain})
					if !w.PeerAddr(family).IsValid() {
						netnstest.Require(t, netns.Withheld(errors.New("this kernel has no IPv6")))
					}
					if err := echo(w, family, 300_000); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}

func TestStackAndStackTalk(t *testing.T) {
	for _, family := range []int{4, 6} {
		w := open(t, wire.Memory, wire.Config{})
		near, err := newStack(w.Link, w.StackAddresses)
		if err != nil {
			t.Fatal(err)
		}
		defer end(near, w.Link)
		far, err := newStack(w.PeerLink, w.PeerAddresses)
		if err != nil {
			t.Fatal(err)
		}
		defer end(far, w.PeerLink)
		addr := netip.AddrPortFrom(w.PeerAddr(family), 7)
		l, err := gonet.ListenTCP(far, fullAddress(addr), protocol(addr.Addr()))
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() {
			c, err := l.Accept()
			if err == nil {
				_, err = io.Copy(c, c)
				c.Close()
			}
			served <- err
		}()
		if err := exchange(near, addr, 300_000); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		l.Close()
	}
}

// Two wires at once do not know of each other: names and addresses are the same.
func TestWiresAreApart(t *testing.T) {
	for _, kind := range []wire.Kind{wire.TUN, wire.Veth} {
		a, b := open(t, kind, wire.Config{}), open(t, kind, wire.Config{})
		for _, w := range []*wire.Wire{a, b} {
			if err := echo(w, 4, 1000); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
	}
}

func TestNothingIsLeftOutside(t *testing.T) {
	names := func() string {
		interfaces, err := net.Interfaces()
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, i := range interfaces {
			all = append(all, i.Name)
		}
		return strings.Join(all, " ")
	}
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	probe := func() {
		for _, c := range wire.Probe() {
			if c.Err != nil {
				netnstest.Require(t, c.Err)
			}
		}
	}
	probe() // what the runtime opens once, its poller, is open now
	before, open := names(), descriptors()
	probe()
	if after := names(); after != before {
		t.Errorf("devices %s became %s", before, after)
	}
	if after := descriptors(); after != open {
		t.Errorf("%d descriptors became %d", open, after)
	}
}

func TestProbeNamesEveryKind(t *testing.T) {
	candidates := wire.Probe()
	if len(candidates) != 3 || candidates[0].Kind != wire.TUN || candidates[1].Kind != wire.Veth {
		t.Fatalf("%+v", candidates)
	}
	if last := candidates[2]; last.Kind != wire.Memory || last.Err != nil {
		t.Errorf("memory: %v", last.Err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		kind wire.Kind
		mtu  int
	}{
		"kind":      {"smoke signals", 1500},
		"small MTU": {wire.Memory, wire.MinMTU - 1},
		"large MTU": {wire.TUN, wire.MaxMTU + 1},
		"negative":  {wire.Veth, -1},
	} {
		if _, err := wire.Open(c.kind, wire.Config{MTU: c.mtu}); err == nil || !strings.HasPrefix(err.Error(), "wire: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if w, passedOver, err := wire.OpenBest(wire.Config{MTU: 1}); err == nil || w != nil || len(passedOver) != 3 {
		t.Errorf("%v %v %v", w, passedOver, err)
	}
}

func TestOpenBestIsTheFirstThatWorks(t *testing.T) {
	w, passedOver, err := wire.OpenBest(wire.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if w.Kind != wire.Kinds()[len(passedOver)] {
		t.Errorf("%s, passed over %v", w.Kind, passedOver)
	}
	for _, c := range passedOver {
		netnstest.Require(t, c.Err)
	}
}

// Both ends of a veth wire carry packets as a wire does.
func TestVethHasNoOffload(t *testing.T) {
	w := open(t, wire.Veth, wire.Config{})
	on, err := wire.OffloadsOn(w)
	if err != nil || len(on) > 0 {
		t.Errorf("offloads that are on: %v, %v", on, err)
	}
}

// The kernel has the peer's addresses and no others, so that it says nothing of
// its own accord from them.
func TestKernelHasThePeersAddresses(t *testing.T) {
	for _, kind := range []wire.Kind{wire.TUN, wire.Veth} {
		w := open(t, kind, wire.Config{})
		nl, err := w.Namespace.Netlink()
		if err != nil {
			t.Fatal(err)
		}
		addrs, err := nl.AddrList(nil, netlink.FAMILY_ALL)
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		for _, a := range addrs {
			if !a.IP.IsLoopback() {
				got = append(got, a.IPNet.String())
			}
		}
		for _, p := range w.PeerAddresses {
			want = append(want, p.String())
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the kernel has %v, want %v", kind, got, want)
		}
	}
}

// The device of the packet socket alone: what it sends is not read back, frames
// that are no IP do not show, and Close ends a Read.
func TestPacketDevice(t *testing.T) {
	w := open(t, wire.Veth, wire.Config{})
	dev, err := wire.PacketDevice(w)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	other, err := wire.PacketDevice(w)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := dev.Write(0, []frame.Packet{{Views: [][]byte{{0x15}}, Size: 1}}); err == nil {
		t.Error("rubbish was sent")
	}
	if _, err := dev.Write(0, []frame.Packet{{Views: [][]byte{{}}}}); err == nil {
		t.Error("an empty packet was sent")
	}
	if _, err := dev.Write(1, nil); err == nil {
		t.Error("a queue that is not there took packets")
	}
	if _, err := dev.Read(1, make([]frame.Packet, 1)); err == nil {
		t.Error("a queue that is not there gave packets")
	}
	// An echo request and its answer: what is sent first is not what is read.
	request := icmpEcho(w)
	if n, err := dev.Write(0, []frame.Packet{{Views: [][]byte{request[:10], nil, request[10:]}, Size: len(request)}}); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	// Another socket on the same device would read it, if the kernel let it.
	batch := []frame.Packet{{Views: [][]byte{make([]byte, 20), make([]byte, 1500)}}}
	for {
		n, err := other.Read(0, batch)
		if err != nil || n != 1 {
			t.Fatalf("%d, %v", n, err)
		}
		if batch[0].Views[0][9] == 1 { // ICMP, not the kernel's own multicast
			break
		}
	}
	if p := batch[0]; p.Size != len(request) || p.Views[1][0] != 0 || netip.AddrFrom4([4]byte(p.Views[0][16:20])) != w.StackAddr(4) {
		t.Errorf("%d bytes, %x", p.Size, p.Views[0])
	}
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := dev.Read(0, batch); err != nil {
				ended <- err
				return
			}
		}
	}()
	for range 2 {
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-ended; !isClosed(err) {
		t.Errorf("Read ended with %v", err)
	}
	if _, err := dev.Write(0, []frame.Packet{{Views: [][]byte{request}, Size: len(request)}}); !isClosed(err) {
		t.Errorf("Write after Close: %v", err)
	}
}

// The kernel accepts a SYN with data from hand-made bytes, and kernelpeer sees
// the data while the handshake has not ended, which it never does here.
func TestDataBeforeTheHandshakeEnds(t *testing.T) {
	w := open(t, wire.Veth, wire.Config{})
	dev, err := wire.PacketDevice(w)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	if err := w.Namespace.SetSysctl("net.ipv4.tcp_fastopen", "515"); err != nil { // 1, 2 and 0x200: no cookie needed
		t.Fatal(err)
	}
	srv, err := kernelpeer.Listen(w.Namespace, kernelpeer.ServerConfig{
		Address: netip.AddrPortFrom(w.PeerAddr(4), 80), FastOpen: 1, Handler: kernelpeer.Sink,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	syn := seg.Make(seg.Fields{
		Src: netip.AddrPortFrom(w.StackAddr(4), 1000), Dst: srv.Addr(), Seq: 1, Flags: seg.SYN, Window: 1000, Payload: []byte("hello"),
	}).Bytes()
	if _, err := dev.Write(0, []frame.Packet{{Views: [][]byte{syn}, Size: len(syn)}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	got, err := srv.Accepted(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	const synRecv = 3 // TCP_SYN_RECV of the kernel
	if got.AtAccept != 5 || !got.AcceptInfo.SYNData || got.AcceptInfo.State != synRecv {
		t.Errorf("%+v", got)
	}
}

// An ordinary user, in a user namespace of its own, finds a wire to the kernel.
func TestOrdinaryUser(t *testing.T) {
	cmd := exec.CommandContext(context.Background(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), roleEnv+"=best")
	netnstest.AsOrdinaryUser(t, cmd)
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "refused: netns: starting the program in a user namespace") {
		netnstest.Require(t, netns.Withheld(errors.New(string(out))))
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := "best: veth\n"
	if f, err := os.Stat("/dev/net/tun"); err == nil && f.Mode().Perm()&6 == 6 {
		want = "best: userns-tun\n"
	} else if !strings.Contains(string(out), "not tun: wire: tun: ") {
		t.Errorf("it does not say why there is no TUN:\n%s", out)
	}
	if !strings.Contains(string(out), want) || !strings.Contains(string(out), "echo: good") {
		t.Errorf("want %q in\n%s", want, out)
	}
}
