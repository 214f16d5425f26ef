package tfo

import (
	"crypto/rand"
	"fmt"
	"io"
	"sync"
	"time"
)

// DefaultKeyLife is how long a key makes cookies; it is honoured for as long
// again. A cookie therefore lives between one and two hours.
const DefaultKeyLife = time.Hour

// KeyRing holds a server's keys and changes them by itself. What the keys are at
// a moment follows from that moment alone: there is no timer, and a ring that
// was not asked for two lives has two fresh keys. It is safe for concurrent use;
// its lock is held over a read of the source of randomness and no other call.
type KeyRing struct {
	life   time.Duration // 0 or less: keys do not change by themselves
	random io.Reader

	mu     sync.Mutex
	keys   Keys          // guarded by mu
	made   bool          // guarded by mu; keys means something
	fixed  bool          // guarded by mu; set by hand: no change by itself
	turned time.Duration // guarded by mu; start of the primary key's life
}

// NewKeyRing returns a ring whose keys change every life; 0 means
// DefaultKeyLife, less than 0 never. random makes keys, nil means crypto/rand.
// The first key is made when it is first needed.
func NewKeyRing(life time.Duration, random io.Reader) *KeyRing {
	if life == 0 {
		life = DefaultKeyLife
	}
	if random == nil {
		random = rand.Reader
	}
	return &KeyRing{life: life, random: random}
}

// Keys are those in force at now. It fails only if the source of randomness
// does; the keys so far then stay in force.
func (r *KeyRing) Keys(now time.Duration) (Keys, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	switch {
	case !r.made:
		err = r.turn(now, 2)
	case !r.fixed && r.life > 0 && now-r.turned >= r.life:
		age := now - r.turned
		err = r.turn(now-age%r.life, int(min(age/r.life, 2)))
	}
	if err != nil && !r.made {
		return Keys{}, err
	}
	return r.keys, err
}

// Set puts keys in force at once; keys of before are not honoured any more
// unless they are among the new. From then on the ring does not change them by
// itself: whoever shares keys between machines changes them on all.
func (r *KeyRing) Set(now time.Duration, k Keys) {
	if !k.HasBackup {
		k.Backup = Key{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys, r.made, r.fixed, r.turned = k, true, true, now
}

// Rotate makes a fresh primary key now; the one of before becomes the backup.
func (r *KeyRing) Rotate(now time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.made {
		return r.turn(now, 2)
	}
	return r.turn(now, 1)
}

// turn brings in so many fresh keys, 1 or 2, of which the first has already
// become the backup if there are two. It is called with mu held.
func (r *KeyRing) turn(at time.Duration, fresh int) error {
	k := Keys{Backup: r.keys.Primary, HasBackup: r.made}
	if fresh > 1 {
		k = Keys{} // nobody holds a cookie of a key that was never used
	}
	if _, err := io.ReadFull(r.random, k.Primary[:]); err != nil {
		return fmt.Errorf("fast open: making a key: %w", err)
	}
	r.keys, r.made, r.turned = k, true, at
	return nil
}
