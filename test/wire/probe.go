package wire

// Candidate is a kind of wire and, if it cannot be used here, why not.
type Candidate struct {
	Kind Kind
	Err  error
}

// Probe tries every kind for a moment, the best one first. Memory always works.
func Probe() []Candidate {
	var out []Candidate
	for _, kind := range Kinds() {
		w, err := Open(kind, Config{})
		if err == nil {
			err = w.Close()
		}
		out = append(out, Candidate{kind, err})
	}
	return out
}

// OpenBest opens the best wire that can be used here, and says why the better
// ones cannot. It fails only for a Config that no wire can have.
func OpenBest(cfg Config) (w *Wire, passedOver []Candidate, err error) {
	for _, kind := range Kinds() {
		if w, err = Open(kind, cfg); err == nil {
			return w, passedOver, nil
		}
		passedOver = append(passedOver, Candidate{kind, err})
	}
	return nil, passedOver, err
}
