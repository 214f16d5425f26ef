package verifier_test

import (
	"bytes"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/verifier"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

// sure is do for a client that tries again when there are no resources.
func (b *bed) sure(submit func(i *irp.IRP) ntstatus.Status) irp.StatusBlock {
	b.t.Helper()
	for range 3 {
		if r := b.do(submit); r.Status != ntstatus.InsufficientResources {
			return r
		}
	}
	b.t.Error("there never are resources")
	return irp.StatusBlock{}
}

// must is sure for a request that has to succeed.
func (b *bed) must(submit func(i *irp.IRP) ntstatus.Status) irp.StatusBlock {
	b.t.Helper()
	r := b.sure(submit)
	if r.Status != ntstatus.Success {
		b.t.Errorf("completed with %v", r.Status)
	}
	return r
}

// tour is a correct client that uses what there is: everything that it sends and
// receives must be whole.
func tour(b *bed) {
	var indicated []byte
	create := func(kind uint16, protocol, flag uint32, table wsk.EventTable) any {
		return b.must(func(i *irp.IRP) ntstatus.Status {
			return b.npi.Dispatch.Socket(b.npi.Client, wsk.AF_INET, kind, protocol, flag, nil, table, i)
		}).Object
	}
	var list *wsk.AddrInfo
	b.must(func(i *irp.IRP) ntstatus.Status {
		return b.npi.Dispatch.GetAddressInfo(b.npi.Client, "192.0.2.1", "80", nil, &list, i)
	})
	b.npi.Dispatch.FreeAddressInfo(b.npi.Client, list)

	s := create(wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagConnectionSocket, receive(
		func(list *wsk.DataIndication, n uint64, _ *uint64) ntstatus.Status {
			indicated = append(indicated, list.Buffer.MDL.Data[:n]...)
			return ntstatus.Success
		})).(*wsk.ConnectionSocket)
	b.must(func(i *irp.IRP) ntstatus.Status { return s.Bind(&wildcard, 0, i) })
	b.connect(s, []byte("first "))
	peer := b.peer()
	b.move(s, peer)
	b.events(s, wsk.EventReceive)
	peer.Deliver(bytes.Repeat([]byte("event"), 20))
	synctest.Wait()
	if !bytes.Equal(indicated, bytes.Repeat([]byte("event"), 20)) {
		b.t.Errorf("indicated %q", indicated)
	}
	waiting := b.start(func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(make([]byte, 1)), 0, i) })
	waiting.Cancel()
	b.finish(s, peer)

	d := create(wsk.SOCK_DGRAM, wsk.IPPROTO_UDP, wsk.FlagDatagramSocket, nil).(*wsk.DatagramSocket)
	b.must(func(i *irp.IRP) ntstatus.Status { return d.Bind(&wildcard, 0, i) })
	b.must(func(i *irp.IRP) ntstatus.Status { return d.SendTo(wsk.NewBuf([]byte("x")), 0, &server, nil, i) })
	b.close(d)

	l := create(wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagListenSocket, nil).(*wsk.ListenSocket)
	b.must(func(i *irp.IRP) ntstatus.Status { return l.Bind(&server, 0, i) })
	b.peer().Arrive(far)
	a := b.must(func(i *irp.IRP) ntstatus.Status { return l.Accept(0, nil, nil, nil, nil, i) }).Object.(*wsk.ConnectionSocket)
	b.close(a)
	b.close(l)
}

// connect connects with data, which the peer takes and acknowledges when it comes.
func (b *bed) connect(s *wsk.ConnectionSocket, data []byte) {
	b.t.Helper()
	b.with(b.peer(), func() { b.peer().Accept() }, func(i *irp.IRP) ntstatus.Status { return s.ConnectEx(&server, wsk.NewBuf(data), 0, i) })
	if got := b.peer().Received(); !bytes.Equal(got, data) {
		b.t.Errorf("the connect carried %q", got)
	}
}

// with submits a request that succeeds when the peer has done something and has
// acknowledged everything.
func (b *bed) with(peer *wsktest.Peer, then func(), submit func(i *irp.IRP) ntstatus.Status) irp.StatusBlock {
	b.t.Helper()
	return b.must(func(i *irp.IRP) ntstatus.Status {
		st := submit(i)
		if st == ntstatus.Pending {
			synctest.Wait()
			then()
			synctest.Wait()
			peer.AckAll()
		}
		return st
	})
}

// move moves bytes both ways.
func (b *bed) move(s *wsk.ConnectionSocket, peer *wsktest.Peer) {
	b.t.Helper()
	out, in, buf := bytes.Repeat([]byte("out"), 300), bytes.Repeat([]byte("in"), 400), make([]byte, 800)
	before := len(peer.Received())
	b.with(peer, func() {}, func(i *irp.IRP) ntstatus.Status { return s.Send(wsk.NewBuf(out[:100], out[100:]), 0, i) })
	if got := peer.Received()[before:]; !bytes.Equal(got, out) {
		b.t.Errorf("sent %d bytes: %q", len(got), got)
	}
	peer.Deliver(in)
	b.must(func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(buf[:7], buf[7:]), wsk.FlagWaitAll, i) })
	if !bytes.Equal(buf, in) {
		b.t.Errorf("received %q", buf)
	}
}

// finish disconnects both ways and closes.
func (b *bed) finish(s *wsk.ConnectionSocket, peer *wsktest.Peer) {
	b.t.Helper()
	b.with(peer, peer.FIN, func(i *irp.IRP) ntstatus.Status { return s.Disconnect(nil, 0, i) })
	b.close(s)
	if peer.Seen().Aborted {
		b.t.Error("the connection was reset though both sides had closed it")
	}
}

// TestFaultsAreLegal has the correct client under every fault: it gets through, and
// nothing is reported.
func TestFaultsAreLegal(t *testing.T) {
	faults := map[string]verifier.Faults{
		"none":          {},
		"force-pending": {Completion: verifier.ForcePending},
		"force-inline":  {Completion: verifier.ForceInline},
		"force-random":  {Completion: verifier.ForceRandom},
		"cancel race":   {CancelRace: true},
		"delay":         {Delay: true},
		"short I/O":     {ShortIO: true},
		"Fast Open":     {FastOpen: true},
		"fail sites":    {FailSites: true},
		"all":           {Completion: verifier.ForceRandom, CancelRace: true, Delay: true, ShortIO: true, FastOpen: true, FailSites: true},
	}
	for n := range 25 {
		faults[fmt.Sprintf("fail %d", n+1)] = verifier.Faults{FailNth: n + 1}
	}
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			for f.Seed = range 20 {
				v := inBed(t, verifier.Config{Faults: f}, tour)
				for _, r := range v.Reports() {
					t.Errorf("seed %d: %v", f.Seed, r)
				}
				if f.Completion == verifier.AsConfigured && f.FailNth > 0 {
					break // nothing is random
				}
			}
		})
	}
}

// TestForcePending has no routine before its call has returned; without the fault
// there are some, or else this shows nothing.
func TestForcePending(t *testing.T) {
	early := func(completion verifier.Completion) int32 {
		var n atomic.Int32
		inBed(t, verifier.Config{Faults: verifier.Faults{
			Completion: completion, Pause: func(steps int) { time.Sleep(time.Duration(steps)) },
		}}, func(b *bed) {
			s := b.bound(nil)
			for range 200 {
				var returned atomic.Bool
				i := irp.New(func(*irp.IRP, any) {
					if !returned.Load() {
						n.Add(1)
					}
				}, nil)
				if st := s.GetLocalAddress(new(wsk.SockAddr), i); st != ntstatus.Pending && completion == verifier.ForcePending {
					t.Errorf("returned %v", st)
				}
				returned.Store(true)
				time.Sleep(time.Second)
				synctest.Wait()
			}
			b.close(s)
		})
		return n.Load()
	}
	if n := early(verifier.ForcePending); n != 0 {
		t.Errorf("%d routines ran before their call had returned", n)
	}
	if n := early(verifier.ForceInline); n != 200 {
		t.Errorf("inline, %d routines of 200 ran before their call had returned", n)
	}
}

// TestFailNth has exactly one request fail, and no close.
func TestFailNth(t *testing.T) {
	for n := 1; n <= 4; n++ {
		var got []ntstatus.Status
		inBed(t, verifier.Config{Faults: verifier.Faults{FailNth: n + 2}}, func(b *bed) { // two are the bed's
			s := b.bound(nil)
			for range 3 {
				got = append(got, b.do(func(i *irp.IRP) ntstatus.Status { return s.GetLocalAddress(new(wsk.SockAddr), i) }).Status)
			}
			got = append(got, b.do(s.CloseSocket).Status)
		})
		want := slices.Repeat([]ntstatus.Status{ntstatus.Success}, 4)
		if n < 4 {
			want[n-1] = ntstatus.InsufficientResources
		}
		if !slices.Equal(got, want) {
			t.Errorf("n %d: %v", n, got)
		}
	}
}

// TestFailSites has the first request from each place fail.
func TestFailSites(t *testing.T) {
	inBed(t, verifier.Config{Faults: verifier.Faults{FailSites: true}}, func(b *bed) {
		s := b.sure(func(i *irp.IRP) ntstatus.Status {
			return b.npi.Dispatch.Socket(b.npi.Client, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagConnectionSocket, nil, nil, i)
		}).Object.(*wsk.ConnectionSocket)
		var got []ntstatus.Status
		for range 3 {
			got = append(got, s.GetLocalAddress(new(wsk.SockAddr), irp.New(func(*irp.IRP, any) {}, nil)))
		}
		got = append(got, s.GetLocalAddress(new(wsk.SockAddr), irp.New(func(*irp.IRP, any) {}, nil)))
		if got[0] != ntstatus.InsufficientResources || got[1] == got[0] || got[2] == got[0] || got[3] != ntstatus.InsufficientResources {
			t.Errorf("answered %v", got)
		}
		b.close(s)
	})
}

// TestShortIO looks how much is moved at a time.
func TestShortIO(t *testing.T) {
	var sizes []int
	run := func(seed uint64) []int {
		sizes = nil
		inBed(t, verifier.Config{Faults: verifier.Faults{Seed: seed, ShortIO: true}}, func(b *bed) {
			s, peer := b.connected(nil)
			peer.Deliver(make([]byte, 200))
			for got := 0; got < 200; {
				n := int(b.do(func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(make([]byte, 200)), 0, i) }).Information)
				sizes = append(sizes, n)
				got += n
			}
			b.close(s)
		})
		return sizes
	}
	var all []int
	for seed := range uint64(20) {
		all = append(all, run(seed)...)
	}
	first := run(7)
	if second := run(7); !slices.Equal(first, second) {
		t.Errorf("the same seed: %v and %v", first, second)
	}
	few := slices.ContainsFunc(all, func(n int) bool { return n > 1 && n < 17 })
	if !slices.Contains(all, 1) || !few || slices.Max(all) < 100 {
		t.Errorf("moved %v", all)
	}
}

// TestFaultyNetworkHidesNothing has what transports and networks can do besides, behind
// one that moves less.
func TestFaultyNetworkHidesNothing(t *testing.T) {
	v := inBed(t, verifier.Config{Faults: verifier.Faults{ShortIO: true}}, func(b *bed) {
		b.inspected(wsk.InspectAccept)
		s, _ := b.post(nil)
		b.close(s)
	})
	if len(v.Reports()) > 0 {
		t.Error(v.Reports()[0])
	}
}

// TestFastOpenFaults has connects of all three kinds: as asked for, without Fast Open,
// and with a part of the data in the SYN.
func TestFastOpenFaults(t *testing.T) {
	data := []byte("0123456789")
	kinds := map[string]int{}
	for seed := range uint64(40) {
		inBed(t, verifier.Config{Faults: verifier.Faults{Seed: seed, FastOpen: true}}, func(b *bed) {
			s := b.bound(nil)
			b.do(func(i *irp.IRP) ntstatus.Status {
				return s.ControlSocket(wsk.SetOption, wsk.TCP_FASTOPEN, wsk.IPPROTO_TCP, []byte{1, 0, 0, 0}, nil, nil, i)
			})
			b.connect(s, data)
			switch seen := b.peer().Seen().Options; {
			case !seen.FastOpen:
				kinds["none"]++
			case len(seen.Data) < len(data):
				kinds["part"]++
			default:
				kinds["whole"]++
			}
			b.close(s)
		})
	}
	if len(kinds) != 3 {
		t.Errorf("there were %v", kinds)
	}
}

// TestSameSeedSameDecisions has a client that does one thing after the other.
func TestSameSeedSameDecisions(t *testing.T) {
	run := func(seed uint64) (pauses []int) {
		f := verifier.Faults{Seed: seed, Delay: true, CancelRace: true, Completion: verifier.ForceInline}
		f.Pause = func(steps int) { pauses = append(pauses, steps) }
		inBed(t, verifier.Config{Faults: f}, func(b *bed) {
			s := b.bound(nil)
			for range 50 {
				b.do(func(i *irp.IRP) ntstatus.Status { return s.GetLocalAddress(new(wsk.SockAddr), i) })
			}
			b.do(s.CloseSocket)
		})
		return pauses
	}
	one, again, other := run(1), run(1), run(2)
	if !slices.Equal(one, again) || slices.Equal(one, other) || slices.Min(one) < 1 || slices.Max(one) > 16 {
		t.Errorf("paused\n%v\n%v\n%v", one, again, other)
	}
}

// TestCancelRace has cancels and completions meet, many times: each request completes
// once, with one of its two results, and both of them happen.
func TestCancelRace(t *testing.T) {
	results := map[ntstatus.Status]int{}
	v := inBed(t, verifier.Config{Faults: verifier.Faults{Seed: 3, CancelRace: true}}, func(b *bed) {
		s, peer := b.connected(nil)
		for range 300 {
			var n atomic.Int32
			i := irp.New(func(*irp.IRP, any) { n.Add(1) }, nil)
			s.Receive(wsk.NewBuf(make([]byte, 64)), 0, i)
			go peer.Deliver([]byte("x"))
			go i.Cancel()
			synctest.Wait()
			if n.Load() != 1 {
				t.Fatalf("completed %d times", n.Load())
			}
			results[i.IoStatus().Status]++
		}
		b.close(s)
	})
	if len(v.Reports()) > 0 {
		t.Error(v.Reports()[0])
	}
	if results[ntstatus.Success] == 0 || results[ntstatus.Cancelled] == 0 || len(results) != 2 {
		t.Errorf("results %v", results)
	}
}
