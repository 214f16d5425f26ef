package stack

// grow makes the stack of a new goroutine large enough for what goes down through
// netstack to the device. Such a stack is small at first and copied each time it has to
// grow; here there is next to nothing on it, and it grows once.
//
//go:noinline
func grow() {
	var room [12 << 10]byte
	touch(&room)
}

//go:noinline
func touch(room *[12 << 10]byte) { room[len(room)-1] = 1 }
