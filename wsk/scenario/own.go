package scenario

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// ownVerbs are those that hand no IRP in.
func ownVerbs() map[string]func(*run) error {
	return map[string]func(*run) error{
		"release": (*run).release, "enable": (*run).enable, "static-events": (*run).staticEvents,
		"stop-provider": (*run).stopProvider,
		"await":         (*run).await, "cancel": (*run).cancel, "reuse": (*run).reuse, "free": (*run).free,
		"deregister": (*run).deregister, "scribble": (*run).scribble, "pause": (*run).pause,
		"expect-event": (*run).expectEvent, "expect-no-event": (*run).expectNoEvent,
	}
}

// known is a socket by its name.
func (r *run) known(name string) (*socket, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sockets[name]
	if s == nil {
		return nil, fmt.Errorf("there is no socket %q: the step or the event that makes it has not made it", name)
	}
	return s, nil
}

// add makes a socket known.
func (r *run) add(s *socket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sockets[s.name] = s
	r.order = append(r.order, s)
}

// close marks a socket that the scenario has closed.
func (r *run) close(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sockets[name]; s != nil {
		s.closed = true
	}
}

func (r *run) release() error {
	s, err := r.known(r.step.name("socket"))
	if err != nil {
		return err
	}
	status := s.release(int(r.step.keys["count"].count), r.step.keys["again"].yes)
	r.line.did(0, "call", "Release %s: %v", s.name, status)
	return r.compareStatus(status)
}

// enable is WskControlSocket with SO_WSK_EVENT_CALLBACK and no IRP, as the interface
// wants it.
func (r *run) enable() error {
	s, err := r.known(r.step.name("socket"))
	if err != nil {
		return err
	}
	events := r.step.keys["events"].list
	status := s.object.ControlSocket(wsk.SetOption, wsk.SO_WSK_EVENT_CALLBACK, wsk.SOL_SOCKET, eventControl(events, 0), nil, nil, nil)
	r.line.did(0, "call", "ControlSocket %s, enable %s: %v", s.name, strings.Join(events, " "), status)
	return r.compareStatus(status)
}

func (r *run) staticEvents() error {
	events := r.step.keys["events"].list
	status := r.npi.Dispatch.ControlClient(r.npi.Client, wsk.SetStaticEventCallbacks, eventControl(events, 0), nil, nil, nil)
	r.line.did(0, "call", "ControlClient, static %s: %v", strings.Join(events, " "), status)
	return r.compareStatus(status)
}

func (r *run) stopProvider() error {
	r.line.did(0, "call", "the provider is stopped")
	r.provider.Stop()
	return nil
}

// pending is the IRP that the step names.
func (r *run) pending() *request { return r.irps[r.step.name("irp")] }

func (r *run) await() error {
	q := r.pending()
	block := r.wait(q, r.limit())
	q.adopt(block)
	return r.compare(q, block)
}

func (r *run) cancel() error {
	q := r.pending()
	r.line.did(q.number, "cancel", "IoCancelIrp")
	q.irp.Cancel()
	return nil
}

func (r *run) reuse() error {
	q := r.pending()
	status := q.reuse()
	r.line.did(q.number, "call", "IoReuseIrp: %v", status)
	return r.compareStatus(status)
}

func (r *run) free() error {
	q := r.pending()
	status := q.irp.Free()
	r.line.did(q.number, "call", "IoFreeIrp: %v", status)
	return r.compareStatus(status)
}

// deregister ends the registration, as far as it can be.
func (r *run) deregister() error {
	r.freeAll()
	text := "WskDeregister"
	if err := r.leave(r.limit()); err != nil {
		text += ": " + oneLine(err.Error())
	}
	r.line.did(0, "call", "%s", text)
	return nil
}

// leave gives the NPI back and deregisters, once.
func (r *run) leave(limit time.Duration) error {
	r.released = true
	r.reg.ReleaseProviderNPI()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return r.reg.DeregisterContext(ctx)
}

// freeAll frees every IRP that nobody uses any more.
func (r *run) freeAll() {
	for _, q := range r.requests {
		if s := q.irp.State(); s == irp.Idle || s == irp.Completed {
			q.irp.Free()
		}
	}
}

// scribble writes into memory that is, or was, the provider's.
func (r *run) scribble() error {
	q := r.pending()
	if len(q.memory) == 0 {
		return fmt.Errorf("the request has no memory to write into")
	}
	r.line.did(q.number, "call", "the client writes into the buffer")
	for i := range q.memory {
		q.memory[i] ^= 0xFF
	}
	return nil
}

func (r *run) pause() error {
	d := min(r.step.keys["time"].time, max(0, r.deadline-r.world.Now()))
	r.line.did(0, "note", "pause of %v", d)
	r.world.Sleep(d)
	return nil
}

func (r *run) expectEvent() error {
	s, err := r.known(r.step.name("socket"))
	if err != nil {
		return err
	}
	event := r.step.name("event")
	end := r.world.Now() + r.limit()
	for {
		t, ok, changed := s.heard(event)
		if ok {
			return compareEvent(r.step, t)
		}
		left := end - r.world.Now()
		if left <= 0 || !within(changed, left) {
			return fmt.Errorf("no %s event within %v", event, r.limit())
		}
	}
}

func compareEvent(st *step, t told) error {
	if err := compareData(st, t.data); err != nil {
		return err
	}
	if v, ok := st.expect["abortive"]; ok && v.yes != t.abortive {
		return fmt.Errorf("abortive is %v, expected %v", t.abortive, v.yes)
	}
	return nil
}

func (r *run) expectNoEvent() error {
	s, err := r.known(r.step.name("socket"))
	if err != nil {
		return err
	}
	event := r.step.name("event")
	if t, ok, _ := s.heard(event); ok {
		return fmt.Errorf("there was a %s event with %s", event, quote(t.data))
	}
	return nil
}

// tryClose closes a socket that the scenario has left open.
func (r *run) tryClose(s *socket) {
	q := r.newRequest("", "CloseSocket "+s.name, s.name)
	q.submit(func(i *irp.IRP) ntstatus.Status { return s.object.CloseSocket(i) })
	r.wait(q, cleanLimit)
}
