package wskrun

import (
	"time"

	"gvisor.dev/gvisor/pkg/log"
)

// quiet swallows what netstack prints on its own to standard error: packets that came
// too late for a connection that a scenario has reset are no news to its reader.
type quiet struct{}

// Emit implements log.Emitter.
func (quiet) Emit(int, log.Level, time.Time, string, ...any) {}
