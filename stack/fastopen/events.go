package fastopen

import (
	"net/netip"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen/tfo"
)

// EventKind is what happened.
type EventKind uint8

// The events of a client.
const (
	// EventCookieRequested: a SYN that asks for a cookie left.
	EventCookieRequested EventKind = iota
	// EventCookieStored: the peer sent a cookie.
	EventCookieStored
	// EventDataAccepted: the SYN-ACK acknowledged all of the SYN's Bytes.
	EventDataAccepted
	// EventDataPartlyAccepted: it acknowledged Bytes, and more were sent.
	EventDataPartlyAccepted
	// EventDataRefused: it acknowledged none; Bytes were sent. Reason says why.
	EventDataRefused
	// EventSYNRetransmitted: a SYN left again, without Fast Open.
	EventSYNRetransmitted
	// EventPathPaused: Fast Open is held back on this path for the time For.
	EventPathPaused

	// The events of a server.

	// EventServerCookieRequested: a SYN asks for a cookie.
	EventServerCookieRequested
	// EventServerAccepted: Bytes of a SYN were delivered, and acknowledged.
	EventServerAccepted
	// EventServerBackupKey: its cookie was made with the backup key.
	EventServerBackupKey
	// EventServerBadCookie: a SYN's cookie is not its client's.
	EventServerBadCookie
	// EventServerOverflow: a SYN came while too many openings were pending.
	EventServerOverflow
	// EventServerReplayDropped: a duplicate of an earlier SYN opened nothing, and
	// lost its data.
	EventServerReplayDropped
	// EventServerNotTaken: netstack did not take the data in time.
	EventServerNotTaken
	// EventServerReset: the client reset a pending connection.
	EventServerReset
	// EventServerTimeout: the client never acknowledged the SYN-ACK.
	EventServerTimeout
	numEvents
)

var eventNames = [numEvents]string{
	EventCookieRequested:       "cookie-requested",
	EventCookieStored:          "cookie-stored",
	EventDataAccepted:          "data-accepted",
	EventDataPartlyAccepted:    "data-partly-accepted",
	EventDataRefused:           "data-refused",
	EventSYNRetransmitted:      "syn-retransmitted",
	EventPathPaused:            "path-paused",
	EventServerCookieRequested: "server-cookie-requested",
	EventServerAccepted:        "server-accepted",
	EventServerBackupKey:       "server-backup-key",
	EventServerBadCookie:       "server-bad-cookie",
	EventServerOverflow:        "server-overflow",
	EventServerReplayDropped:   "server-replay-dropped",
	EventServerNotTaken:        "server-not-taken",
	EventServerReset:           "server-reset",
	EventServerTimeout:         "server-timeout",
}

// String is the event as a short word for logs and JSON.
func (k EventKind) String() string {
	if k < numEvents {
		return eventNames[k]
	}
	return "unknown"
}

// serverEventTable says what the machine's events are called here.
var serverEventTable = [tfo.Events]EventKind{
	tfo.EventCookieRequested: EventServerCookieRequested,
	tfo.EventOverflow:        EventServerOverflow,
	tfo.EventBadCookie:       EventServerBadCookie,
	tfo.EventNotTaken:        EventServerNotTaken,
	tfo.EventAccepted:        EventServerAccepted,
	tfo.EventBackupKey:       EventServerBackupKey,
	tfo.EventReplay:          EventServerReplayDropped,
	tfo.EventReset:           EventServerReset,
	tfo.EventTimeout:         EventServerTimeout,
}

// Event is something that Fast Open did or saw; see Config.OnEvent.
type Event struct {
	Kind          EventKind
	Local, Remote netip.AddrPort
	// Bytes, Reason and For belong to the kinds that say so.
	Bytes  int
	Reason Reason
	For    time.Duration
}

// tell queues an event for Config.OnEvent, behind the packets before it. It may
// be called with an opening's lock held; whoever calls it drains or wakes the
// queue afterwards.
func (l *Link) tell(e Event, k key) {
	if l.cfg.OnEvent == nil {
		return
	}
	e.Local, e.Remote = k.local, k.remote
	l.up.push(l, upItem{event: &e})
}

// tellClient tells of what has become known of an opening since it was last
// looked at.
func (l *Link) tellClient(was, is Outcome, lesson *tfo.Lesson, paused time.Duration, k key) {
	if l.cfg.OnEvent == nil {
		return
	}
	if was.Cookie == tfo.CookieNone && is.Cookie == tfo.CookieRequested {
		l.tell(Event{Kind: EventCookieRequested}, k)
	}
	if is.SYNRetransmitted && !was.SYNRetransmitted {
		l.tell(Event{Kind: EventSYNRetransmitted}, k)
	}
	if lesson != nil && !lesson.Granted.Cookie.Empty() {
		l.tell(Event{Kind: EventCookieStored}, k)
	}
	if is.BytesInSYN > 0 && concluded(was, is) {
		e := Event{Kind: EventDataAccepted, Bytes: is.BytesAccepted, Reason: is.Reason}
		switch is.BytesAccepted {
		case is.BytesInSYN:
		case 0:
			e.Kind, e.Bytes = EventDataRefused, is.BytesInSYN
		default:
			e.Kind = EventDataPartlyAccepted
		}
		l.tell(e, k)
	}
	if paused > 0 {
		l.tell(Event{Kind: EventPathPaused, Reason: is.Reason, For: paused}, k)
	}
}

// concluded reports whether it has just become known what Fast Open brought.
func concluded(was, is Outcome) bool {
	return (is.Answered || is.Done) && !was.Answered && !was.Done
}

// tellServer tells of a listener's events.
func (l *Link) tellServer(set tfo.EventSet, bytes int, k key) {
	if l.cfg.OnEvent == nil || set == 0 {
		return
	}
	for e := range tfo.Events {
		if set.Has(e) {
			out := Event{Kind: serverEventTable[e]}
			if e == tfo.EventAccepted {
				out.Bytes = bytes
			}
			l.tell(out, k)
		}
	}
}
