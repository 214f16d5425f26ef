package verifier_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/verifier"
)

// pair is a client that breaks a rule and one that does the same correctly.
type pair struct {
	id        string
	name      string
	cfg       verifier.Config
	bad, good func(b *bed)
}

// TestSeededBugs runs every pair: the first client must be caught by its rule, and the
// second by none.
func TestSeededBugs(t *testing.T) {
	caught, missed, blamed := map[string]int{}, 0, 0
	for _, p := range pairs {
		var bad, good map[string]int
		t.Run(p.id+"/"+p.name+"/bad", func(t *testing.T) {
			v := inBed(t, p.cfg, p.bad)
			bad = v.Counts()
			if bad[p.id] == 0 {
				missed++
				t.Errorf("not caught; reported %v", bad)
				return
			}
			caught[p.id]++
			checkReport(t, v, p.id)
		})
		t.Run(p.id+"/"+p.name+"/good", func(t *testing.T) {
			v := inBed(t, p.cfg, p.good)
			if good = v.Counts(); len(good) > 0 {
				blamed++
				for _, r := range v.Reports() {
					t.Errorf("reported without reason: %v", r)
				}
			}
		})
		t.Logf("%-4s %-45s caught %d times%s; its twin: %d reports", p.id, p.name, bad[p.id], others(bad, p.id), len(good))
	}
	t.Logf("%d pairs for %d rules: detection %d of %d, false positives %d of %d",
		len(pairs), len(caught), len(pairs)-missed, len(pairs), blamed, len(pairs))
}

// others names the other rules that a client was caught by.
func others(counts map[string]int, id string) string {
	var ids []string
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		if k != id {
			ids = append(ids, k)
		}
	}
	if len(ids) == 0 {
		return ""
	}
	return " (and by " + strings.Join(ids, ", ") + ")"
}

// checkReport checks the form of a report of the rule.
func checkReport(t *testing.T, v *verifier.Verifier, id string) {
	t.Helper()
	rule, _ := verifier.Explain(id)
	for _, r := range v.Reports() {
		if r.ID != id {
			continue
		}
		line := r.Line()
		if strings.Contains(line, "\n") || !strings.HasPrefix(line, id+": "+rule.Misuse) || !strings.Contains(line, r.Object) || !strings.HasSuffix(line, "(as "+rule.Anchor+")") {
			t.Errorf("the line is %q", line)
		}
		if len(r.Stack) == 0 || r.Goroutine == 0 || r.Time.IsZero() || r.Object == "" {
			t.Errorf("stack, goroutine, time or object are missing: %+v", r)
		}
	}
}

// TestEveryRuleHasItsPair holds the suite against the table.
func TestEveryRuleHasItsPair(t *testing.T) {
	have := map[string]bool{}
	for _, p := range pairs {
		rule, known := verifier.Explain(p.id)
		if !known || !rule.Checked() || rule.Provider {
			t.Errorf("%s/%s is no rule of the client that is checked", p.id, p.name)
		}
		have[p.id] = true
	}
	for _, r := range verifier.Rules() {
		if r.Checked() && !r.Provider && !have[r.ID] {
			t.Errorf("%s has no pair of clients", r.ID)
		}
	}
	// The rules of the page that are meaningful in Go, written out once more.
	const meaningful = "I1 I2 I3 I4 I11 I12 I13 I14 S1 S2 S3 S4 S5 S6 S7 S8 S9 S10 S11 S12 B1 B3 B4 B5 B6 B7 Q3 Q4 R1 R2 R3"
	for id := range strings.FieldsSeq(meaningful) {
		if r, _ := verifier.Explain(id); !r.Checked() || r.Explanation == "" || r.Anchor == "" {
			t.Errorf("%s is not in the table as checked, with an explanation and an anchor", id)
		}
	}
}

var pairs = []pair{
	{
		id: "I1", name: "two receives with one IRP",
		bad: func(b *bed) {
			s, _ := b.connected(nil)
			i := b.start(func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(make([]byte, 8)), 0, i) })
			s.Receive(wsk.NewBuf(make([]byte, 8)), 0, i)
			b.close(s)
		},
		good: func(b *bed) {
			s, _ := b.connected(nil)
			for range 2 {
				b.start(func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(make([]byte, 8)), 0, i) })
			}
			b.close(s)
		},
	},
	{
		id: "I1", name: "reused while pending",
		bad: func(b *bed) {
			s, _ := b.connected(nil)
			b.start(func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(make([]byte, 8)), 0, i) }).Reuse(0)
			b.close(s)
		},
		good: func(b *bed) {
			s, _ := b.connected(nil)
			i := b.start(func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(make([]byte, 8)), 0, i) })
			b.close(s)
			i.Reuse(ntstatus.Unsuccessful)
		},
	},
	{
		id: "I2", name: "used again after its completion",
		bad: func(b *bed) {
			s := b.bound(nil)
			var a wsk.SockAddr
			i := b.start(func(i *irp.IRP) ntstatus.Status { return s.GetLocalAddress(&a, i) })
			synctest.Wait()
			s.GetLocalAddress(&a, i)
			b.close(s)
		},
		good: func(b *bed) {
			s := b.bound(nil)
			var a wsk.SockAddr
			i := b.start(func(i *irp.IRP) ntstatus.Status { return s.GetLocalAddress(&a, i) })
			synctest.Wait()
			i.Reuse(ntstatus.Unsuccessful)
			i.SetCompletionRoutine(func(*irp.IRP, any) {}, nil)
			s.GetLocalAddress(&a, i)
			synctest.Wait()
			b.close(s)
		},
	},
	{
		id: "I3", name: "completes an IRP that WSK owns",
		bad: func(b *bed) {
			s, _ := b.connected(nil)
			i := b.start(func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(make([]byte, 8)), 0, i) })
			mine, _ := irp.Submit(i, nil)
			mine.Complete(irp.StatusBlock{Status: ntstatus.Cancelled})
			b.close(s)
		},
		good: func(b *bed) {
			s, _ := b.connected(nil)
			b.start(func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(make([]byte, 8)), 0, i) }).Cancel()
			b.close(s)
		},
	},
	{
		id: "I3", name: "completes its own IRP twice",
		bad: func(b *bed) {
			mine, _ := irp.Submit(b.v.NewIRP(nil, nil), nil)
			mine.Complete(irp.StatusBlock{})
			mine.Complete(irp.StatusBlock{})
		},
		good: func(b *bed) {
			i := b.v.NewIRP(nil, nil)
			mine, _ := irp.Submit(i, nil)
			mine.Complete(irp.StatusBlock{})
			i.Free()
		},
	},
	{
		id: "I4", name: "freed while pending",
		bad: func(b *bed) {
			s, _ := b.connected(nil)
			b.start(func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(make([]byte, 8)), 0, i) }).Free()
			b.close(s)
		},
		good: func(b *bed) {
			s, _ := b.connected(nil)
			i := b.start(func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(make([]byte, 8)), 0, i) })
			i.Cancel()
			synctest.Wait()
			i.Free()
			b.close(s)
		},
	},
	{
		id: "I4", name: "freed twice",
		bad:  func(b *bed) { i := b.v.NewIRP(nil, nil); i.Free(); i.Free() },
		good: func(b *bed) { b.v.NewIRP(nil, nil).Free() },
	},
	{
		id: "I4", name: "used after it was freed",
		bad: func(b *bed) {
			s := b.bound(nil)
			i := b.v.NewIRP(nil, nil)
			i.Free()
			s.GetLocalAddress(new(wsk.SockAddr), i)
			b.close(s)
		},
		good: func(b *bed) {
			s := b.bound(nil)
			i := b.v.NewIRP(func(i *irp.IRP, _ any) { i.Free() }, nil)
			s.GetLocalAddress(new(wsk.SockAddr), i)
			b.close(s)
		},
	},
	{
		id: "I4", name: "freed though it is part of another object",
		bad: func(b *bed) {
			s := b.bound(nil)
			var embedded struct{ irp.IRP }
			s.GetLocalAddress(new(wsk.SockAddr), &embedded.IRP)
			synctest.Wait()
			embedded.Free()
			b.close(s)
		},
		good: func(b *bed) {
			s := b.bound(nil)
			var embedded struct{ irp.IRP }
			s.GetLocalAddress(new(wsk.SockAddr), &embedded.IRP)
			synctest.Wait()
			_ = embedded.IoStatus()
			b.close(s)
		},
	},
	{
		id: "I11", name: "allocated and not freed",
		bad: func(b *bed) {
			s := b.bound(nil)
			s.GetLocalAddress(new(wsk.SockAddr), b.v.NewIRP(func(*irp.IRP, any) {}, nil))
			synctest.Wait()
			b.close(s)
		},
		good: func(b *bed) {
			s := b.bound(nil)
			i := b.v.NewIRP(func(*irp.IRP, any) {}, nil)
			s.GetLocalAddress(new(wsk.SockAddr), i)
			synctest.Wait()
			i.Free()
			b.close(s)
		},
	},
	{
		id: "I12", name: "no IRP",
		bad:  func(b *bed) { s := b.bound(nil); s.GetLocalAddress(new(wsk.SockAddr), nil); b.close(s) },
		good: func(b *bed) { b.close(b.bound(nil)) },
	},
	{
		id: "I12", name: "callbacks enabled with an IRP",
		bad: func(b *bed) {
			s, _ := b.connected(receive(nil))
			in := wsk.EventCallbackControl{NpiID: wsk.NPI_WSK_INTERFACE_ID(), EventMask: wsk.EventReceive}.Bytes()
			b.do(func(i *irp.IRP) ntstatus.Status {
				return s.ControlSocket(wsk.SetOption, wsk.SO_WSK_EVENT_CALLBACK, wsk.SOL_SOCKET, in, nil, nil, i)
			})
			b.close(s)
		},
		good: func(b *bed) {
			s, _ := b.connected(receive(nil))
			b.events(s, wsk.EventReceive)
			b.close(s)
		},
	},
	{
		id: "I12", name: "WskControlClient with an IRP",
		bad: func(b *bed) {
			b.do(func(i *irp.IRP) ntstatus.Status {
				return b.npi.Dispatch.ControlClient(b.npi.Client, wsk.TDIBehavior, nil, nil, nil, i)
			})
		},
		good: func(b *bed) { b.npi.Dispatch.ControlClient(b.npi.Client, wsk.TDIBehavior, nil, nil, nil, nil) },
	},
	{
		id: "I13", name: "a receive that nobody limits",
		bad: func(b *bed) {
			s, _ := b.connected(nil)
			b.start(func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(make([]byte, 8)), 0, i) })
			b.after(verifier.DefaultPending)
			b.close(s)
		},
		good: func(b *bed) {
			s, _ := b.connected(nil)
			i := b.start(func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(make([]byte, 8)), 0, i) })
			b.after(verifier.DefaultPending / 2)
			i.Cancel()
			b.after(verifier.DefaultPending)
			b.close(s)
		},
	},
	{
		id: "I13", name: "completion never looked at",
		bad: func(b *bed) {
			s := b.bound(nil)
			s.GetLocalAddress(new(wsk.SockAddr), irp.New(nil, nil))
			b.close(s)
		},
		good: func(b *bed) {
			s := b.bound(nil)
			i := irp.New(nil, nil)
			s.GetLocalAddress(new(wsk.SockAddr), i)
			synctest.Wait()
			_ = i.IoStatus()
			b.close(s)
		},
	},
	{
		id: "I14", name: "result read at once", cfg: verifier.Config{Faults: verifier.Faults{Completion: verifier.ForcePending}},
		bad: func(b *bed) {
			s, peer := b.connected(nil)
			peer.Deliver([]byte("data"))
			i := b.start(func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(make([]byte, 8)), 0, i) })
			_ = i.IoStatus().Information
			b.close(s)
		},
		good: func(b *bed) {
			s, peer := b.connected(nil)
			peer.Deliver([]byte("data"))
			i := b.start(func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(make([]byte, 8)), 0, i) })
			synctest.Wait()
			_ = i.IoStatus().Information
			b.close(s)
		},
	},
	{
		id: "S1", name: "send after close",
		bad: func(b *bed) {
			s, _ := b.connected(nil)
			b.close(s)
			b.start(func(i *irp.IRP) ntstatus.Status { return s.Send(wsk.NewBuf([]byte("x")), 0, i) })
		},
		good: func(b *bed) {
			s, peer := b.connected(nil)
			b.start(func(i *irp.IRP) ntstatus.Status { return s.Send(wsk.NewBuf([]byte("x")), 0, i) })
			synctest.Wait()
			peer.AckAll()
			b.close(s)
		},
	},
	{
		id: "S1", name: "no socket",
		bad: func(b *bed) {
			var s *wsk.ConnectionSocket
			i := b.v.NewIRP(func(*irp.IRP, any) {}, nil)
			s.GetLocalAddress(new(wsk.SockAddr), i)
			i.Free()
		},
		good: func(b *bed) {
			s := b.bound(nil)
			i := b.v.NewIRP(func(*irp.IRP, any) {}, nil)
			s.GetLocalAddress(new(wsk.SockAddr), i)
			b.close(s)
			i.Free()
		},
	},
	{
		id: "S2", name: "close inside a send of another goroutine",
		cfg: slow(), bad: func(b *bed) { b.closeDuringSend(false) }, good: func(b *bed) { b.closeDuringSend(true) },
	},
	{
		id: "S3", name: "closed twice",
		bad:  func(b *bed) { s := b.bound(nil); b.close(s); b.start(s.CloseSocket) },
		good: func(b *bed) { b.close(b.bound(nil)) },
	},
	{
		id: "S4", name: "closed with an indication retained",
		bad: func(b *bed) {
			b.retaining(func(s *wsk.ConnectionSocket, _ *wsk.DataIndication) {})
		},
		good: func(b *bed) {
			b.retaining(func(s *wsk.ConnectionSocket, list *wsk.DataIndication) { s.Release(list) })
		},
	},
	{
		id: "S5", name: "released twice",
		bad: func(b *bed) {
			b.retaining(func(s *wsk.ConnectionSocket, list *wsk.DataIndication) { s.Release(list); s.Release(list) })
		},
		good: func(b *bed) {
			b.retaining(func(s *wsk.ConnectionSocket, list *wsk.DataIndication) { s.Release(list) })
		},
	},
	{
		id: "S5", name: "a list of its own",
		bad: func(b *bed) {
			b.retaining(func(s *wsk.ConnectionSocket, list *wsk.DataIndication) {
				s.Release(&wsk.DataIndication{Next: list})
				s.Release(list)
			})
		},
		good: func(b *bed) {
			b.retaining(func(s *wsk.ConnectionSocket, list *wsk.DataIndication) { s.Release(list) })
		},
	},
	{
		id: "S6", name: "send before connect",
		bad: func(b *bed) {
			s := b.bound(nil)
			b.do(func(i *irp.IRP) ntstatus.Status { return s.Send(wsk.NewBuf([]byte("x")), 0, i) })
			b.close(s)
		},
		good: func(b *bed) { s, _ := b.connected(nil); b.close(s) },
	},
	{
		id: "S6", name: "connect before bind",
		bad: func(b *bed) {
			s := b.socket(nil)
			b.do(func(i *irp.IRP) ntstatus.Status { return s.Connect(&server, 0, i) })
			b.close(s)
		},
		good: func(b *bed) { s, _ := b.connected(nil); b.close(s) },
	},
	{
		id: "S6", name: "send after a graceful disconnect",
		bad: func(b *bed) {
			s, _ := b.connected(nil)
			b.start(func(i *irp.IRP) ntstatus.Status { return s.Disconnect(nil, 0, i) })
			b.do(func(i *irp.IRP) ntstatus.Status { return s.Send(wsk.NewBuf([]byte("x")), 0, i) })
			b.close(s)
		},
		good: func(b *bed) {
			s, _ := b.connected(nil)
			b.start(func(i *irp.IRP) ntstatus.Status { return s.Disconnect(wsk.NewBuf([]byte("x")), 0, i) })
			b.close(s)
		},
	},
	{
		id: "S6", name: "callbacks enabled before connect",
		bad:  func(b *bed) { s := b.bound(receive(nil)); b.events(s, wsk.EventReceive); b.close(s) },
		good: func(b *bed) { s, _ := b.connected(receive(nil)); b.events(s, wsk.EventReceive); b.close(s) },
	},
	{
		id: "S6", name: "accept before bind",
		bad: func(b *bed) {
			s := b.create(wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagListenSocket, nil).(*wsk.ListenSocket)
			b.do(func(i *irp.IRP) ntstatus.Status { return s.Accept(0, nil, nil, nil, nil, i) })
			b.close(s)
		},
		good: func(b *bed) {
			s, _ := b.listening(nil)
			b.start(func(i *irp.IRP) ntstatus.Status { return s.Accept(0, nil, nil, nil, nil, i) })
			b.close(s)
		},
	},
	{
		id: "S7", name: "flags that are reserved",
		bad: func(b *bed) {
			s := b.bound(nil)
			b.do(func(i *irp.IRP) ntstatus.Status { return s.ConnectEx(&server, nil, 1, i) })
			b.close(s)
		},
		good: func(b *bed) { s, _ := b.connected(nil); b.close(s) },
	},
	{
		id: "S7", name: "abortive disconnect with a buffer",
		bad: func(b *bed) {
			s, _ := b.connected(nil)
			b.do(func(i *irp.IRP) ntstatus.Status {
				return s.Disconnect(wsk.NewBuf([]byte("x")), wsk.FlagAbortive, i)
			})
			b.close(s)
		},
		good: func(b *bed) {
			s, _ := b.connected(nil)
			b.do(func(i *irp.IRP) ntstatus.Status { return s.Disconnect(nil, wsk.FlagAbortive, i) })
			b.close(s)
		},
	},
	{
		id: "S7", name: "WskInspectPend to WskInspectComplete",
		bad: func(b *bed) {
			s, _ := b.listening(nil)
			b.do(func(i *irp.IRP) ntstatus.Status { return s.InspectComplete(&wsk.InspectID{}, wsk.InspectPend, i) })
			b.close(s)
		},
		good: func(b *bed) {
			s, _ := b.listening(nil)
			b.do(func(i *irp.IRP) ntstatus.Status {
				return s.InspectComplete(&wsk.InspectID{}, wsk.InspectReject, i)
			})
			b.close(s)
		},
	},
	{
		id: "S8", name: "address of another family",
		bad: func(b *bed) {
			s := b.socket(nil)
			b.do(func(i *irp.IRP) ntstatus.Status { return s.Bind(&wsk.SockAddr{Family: wsk.AF_INET6}, 0, i) })
			b.close(s)
		},
		good: func(b *bed) { b.close(b.bound(nil)) },
	},
	{
		id: "S8", name: "output buffer too small",
		bad: func(b *bed) {
			s := b.bound(nil)
			b.do(func(i *irp.IRP) ntstatus.Status {
				return s.ControlSocket(wsk.GetOption, wsk.SO_TYPE, wsk.SOL_SOCKET, nil, make([]byte, 2), nil, i)
			})
			b.close(s)
		},
		good: func(b *bed) {
			s := b.bound(nil)
			b.do(func(i *irp.IRP) ntstatus.Status {
				return s.ControlSocket(wsk.GetOption, wsk.SO_TYPE, wsk.SOL_SOCKET, nil, make([]byte, 4), nil, i)
			})
			b.close(s)
		},
	},
	{
		id: "S9", name: "two goroutines in accept",
		cfg: slow(), bad: func(b *bed) { b.twoAccepts(false) }, good: func(b *bed) { b.twoAccepts(true) },
	},
	{
		id: "S10", name: "accepted socket not closed",
		bad: func(b *bed) {
			l, peer := b.listening(nil)
			peer.Arrive(far)
			b.do(func(i *irp.IRP) ntstatus.Status { return l.Accept(0, nil, nil, nil, nil, i) })
			b.close(l)
			b.end()
		},
		good: func(b *bed) {
			l, peer := b.listening(nil)
			peer.Arrive(far)
			s := b.do(func(i *irp.IRP) ntstatus.Status { return l.Accept(0, nil, nil, nil, nil, i) }).Object.(*wsk.ConnectionSocket)
			b.close(l)
			b.close(s)
		},
	},
	{
		id: "S10", name: "a deregistration that hangs",
		bad: func(b *bed) {
			s := b.bound(nil)
			b.reg.ReleaseProviderNPI()
			over := make(chan struct{})
			go func() { defer close(over); b.reg.Deregister() }()
			b.after(verifier.DefaultDeregister)
			b.close(s)
			<-over
			b.reg = nil
		},
		good: func(b *bed) { b.close(b.bound(nil)) },
	},
	{
		id: "S11", name: "two callbacks disabled at once",
		bad: func(b *bed) {
			s, _ := b.connected(receive(nil))
			b.events(s, wsk.EventDisable|wsk.EventReceive|wsk.EventDisconnect)
			b.close(s)
		},
		good: func(b *bed) {
			s, _ := b.connected(receive(nil))
			b.events(s, wsk.EventDisable|wsk.EventReceive)
			b.close(s)
		},
	},
	{
		id: "S11", name: "table changed while in use",
		bad:  func(b *bed) { b.changeTable(true) },
		good: func(b *bed) { b.changeTable(false) },
	},
	{
		id: "S12", name: "dead socket not closed",
		bad: func(b *bed) {
			b.withdrawn(func(s *wsk.ConnectionSocket) { b.after(verifier.DefaultDead); b.close(s) })
		},
		good: func(b *bed) {
			b.withdrawn(func(s *wsk.ConnectionSocket) { b.close(s); b.after(verifier.DefaultDead) })
		},
	},
	{
		id: "B1", name: "length beyond the chain",
		bad: func(b *bed) {
			s, _ := b.connected(nil)
			b.do(func(i *irp.IRP) ntstatus.Status {
				return s.Send(&wsk.Buf{MDL: &wsk.MDL{Data: make([]byte, 4)}, Length: 5}, 0, i)
			})
			b.close(s)
		},
		good: func(b *bed) {
			s, peer := b.connected(nil)
			b.start(func(i *irp.IRP) ntstatus.Status {
				return s.Send(&wsk.Buf{MDL: &wsk.MDL{Data: make([]byte, 4)}, Offset: 1, Length: 3}, 0, i)
			})
			synctest.Wait()
			peer.AckAll()
			b.close(s)
		},
	},
	{
		id: "B1", name: "connect data beyond the chain",
		bad: func(b *bed) {
			s := b.bound(nil)
			b.do(func(i *irp.IRP) ntstatus.Status {
				return s.ConnectEx(&server, &wsk.Buf{MDL: &wsk.MDL{Data: make([]byte, 4)}, Length: 5}, 0, i)
			})
			b.close(s)
		},
		good: func(b *bed) { // more than it takes has a status of its own
			s := b.bound(nil)
			if st := b.do(func(i *irp.IRP) ntstatus.Status {
				return s.ConnectEx(&server, wsk.NewBuf(make([]byte, wsk.MaxConnectData+1)), 0, i)
			}).Status; st != ntstatus.BufferOverflow {
				b.t.Errorf("completed with %v", st)
			}
			b.close(s)
		},
	},
	{
		id: "B1", name: "offset beyond the first MDL",
		bad: func(b *bed) {
			s, _ := b.connected(nil)
			b.do(func(i *irp.IRP) ntstatus.Status {
				return s.Receive(&wsk.Buf{MDL: &wsk.MDL{Data: make([]byte, 4), Next: &wsk.MDL{Data: make([]byte, 9)}}, Offset: 5, Length: 1}, 0, i)
			})
			b.close(s)
		},
		good: func(b *bed) {
			s, _ := b.connected(nil)
			b.start(func(i *irp.IRP) ntstatus.Status {
				return s.Receive(&wsk.Buf{MDL: &wsk.MDL{Data: make([]byte, 4), Next: &wsk.MDL{Data: make([]byte, 9)}}, Offset: 3, Length: 10}, 0, i)
			})
			b.close(s)
		},
	},
	{
		id: "B3", name: "receive buffer written while pending",
		bad:  func(b *bed) { b.usesBuffer(true) },
		good: func(b *bed) { b.usesBuffer(false) },
	},
	{
		id: "B4", name: "send buffer changed while pending",
		bad:  func(b *bed) { b.changesSend(true) },
		good: func(b *bed) { b.changesSend(false) },
	},
	{
		id: "B5", name: "written beyond its bytes",
		bad: func(b *bed) {
			b.indicated(func(list *wsk.DataIndication) { _ = append(list.Buffer.MDL.Data, '!') }, nil)
		},
		good: func(b *bed) {
			b.indicated(func(list *wsk.DataIndication) { list.Buffer.MDL.Data[0] = '!' }, nil)
		},
	},
	{
		id: "B5", name: "written after the callback's return",
		bad: func(b *bed) {
			b.indicated(nil, func(kept []byte) { kept[0] = '!' })
		},
		good: func(b *bed) {
			b.indicated(nil, func([]byte) {})
		},
	},
	{
		id: "B5", name: "datagram written after WskRelease",
		bad:  func(b *bed) { b.releasedDatagram(true) },
		good: func(b *bed) { b.releasedDatagram(false) },
	},
	{
		id: "B6", name: "more accepted than indicated",
		bad:  func(b *bed) { b.answers(ntstatus.Success, 1) },
		good: func(b *bed) { b.answers(ntstatus.Success, 0) },
	},
	{
		id: "B6", name: "a status that the callback does not have",
		bad:  func(b *bed) { b.answers(ntstatus.Unsuccessful, 0) },
		good: func(b *bed) { b.answers(ntstatus.DataNotAccepted, 0) },
	},
	{
		id: "B6", name: "retained with a partial accept",
		bad:  func(b *bed) { b.answers(ntstatus.Pending, -1) },
		good: func(b *bed) { b.answers(ntstatus.Pending, 0) },
	},
	{
		id: "B6", name: "an inspect action that does not exist",
		bad:  func(b *bed) { b.inspected(wsk.InspectPend + 1) },
		good: func(b *bed) { b.inspected(wsk.InspectReject) },
	},
	{
		id: "B7", name: "address list not freed",
		bad:  func(b *bed) { b.resolve() },
		good: func(b *bed) { b.npi.Dispatch.FreeAddressInfo(b.npi.Client, b.resolve()) },
	},
	{
		id: "B7", name: "address list freed twice",
		bad: func(b *bed) {
			list := b.resolve()
			b.npi.Dispatch.FreeAddressInfo(b.npi.Client, list)
			b.npi.Dispatch.FreeAddressInfo(b.npi.Client, list)
		},
		good: func(b *bed) { b.npi.Dispatch.FreeAddressInfo(b.npi.Client, b.resolve()) },
	},
	{
		id: "B7", name: "a list of its own freed",
		bad:  func(b *bed) { b.npi.Dispatch.FreeAddressInfo(b.npi.Client, &wsk.AddrInfo{}) },
		good: func(b *bed) { b.npi.Dispatch.FreeAddressInfo(b.npi.Client, b.resolve()) },
	},
	{
		id: "Q3", name: "a routine that waits for a request",
		bad: func(b *bed) {
			s, peer := b.connected(nil)
			peer.Deliver([]byte("ab"))
			more := make(chan struct{})
			first := irp.New(func(*irp.IRP, any) {
				b.start(func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(make([]byte, 1)), 0, i) })
				<-more
			}, nil)
			s.Receive(wsk.NewBuf(make([]byte, 1)), 0, first)
			b.after(verifier.DefaultCallback)
			close(more)
			b.close(s)
		},
		good: func(b *bed) {
			s, peer := b.connected(nil)
			peer.Deliver([]byte("ab"))
			first := irp.New(func(*irp.IRP, any) {
				b.start(func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(make([]byte, 1)), 0, i) })
			}, nil)
			s.Receive(wsk.NewBuf(make([]byte, 1)), 0, first)
			b.after(verifier.DefaultCallback)
			b.close(s)
		},
	},
	{
		id: "Q4", name: "endless recursion", cfg: verifier.Config{Faults: verifier.Faults{Completion: verifier.ForceInline}},
		bad:  func(b *bed) { b.chain(2 * verifier.DefaultDepth) },
		good: func(b *bed) { b.chain(verifier.DefaultDepth) },
	},
	{
		id: "R1", name: "released more often than captured",
		bad: func(b *bed) {
			b.reg.ReleaseProviderNPI()
			b.reg.ReleaseProviderNPI()
		},
		good: func(*bed) {},
	},
	{
		id: "R1", name: "dispatch table used after its release",
		bad: func(b *bed) {
			b.reg.ReleaseProviderNPI()
			b.close(b.bound(nil))
			b.reg.Deregister()
			b.reg = nil
		},
		good: func(b *bed) {
			s := b.bound(nil)
			b.reg.ReleaseProviderNPI()
			b.close(s)
			b.reg.Deregister()
			b.reg = nil
		},
	},
	{
		id: "R1", name: "registered twice",
		bad: func(b *bed) {
			b.p.Register(&wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: wsk.Version1_0}}, b.reg)
		},
		good: func(b *bed) {
			var other wsk.Registration
			b.p.Register(&wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: wsk.Version1_0}}, &other)
			other.Deregister()
		},
	},
	{
		id: "R1", name: "deregistered twice",
		bad:  func(b *bed) { reg := b.reg; b.end(); reg.Deregister() },
		good: func(b *bed) { b.end() },
	},
	{
		id: "R1", name: "deregistered again after the end",
		bad: func(b *bed) {
			b.giveUp()
			reg := b.reg
			b.end()
			reg.Deregister()
		},
		good: func(b *bed) {
			b.giveUp()
			b.end() // goes on waiting
		},
	},
	{
		id: "R2", name: "unloaded with a registration and a socket",
		bad: func(b *bed) {
			s := b.bound(nil)
			b.v.Finish()
			b.close(s)
		},
		good: func(b *bed) {
			b.close(b.bound(nil))
			b.end()
			b.v.Finish()
		},
	},
	{
		id: "R3", name: "deregistered from a completion routine",
		bad: func(b *bed) {
			s := b.bound(nil)
			reg := b.reg
			i := irp.New(func(*irp.IRP, any) { _ = reg.DeregisterContext(ended()) }, nil)
			s.CloseSocket(i)
			synctest.Wait()
		},
		good: func(b *bed) { b.close(b.bound(nil)); b.end() },
	},
}
