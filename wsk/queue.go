package wsk

// queue is operations in their order, linked through themselves: it needs no memory of
// its own. An operation is in one queue at a time. The zero value is an empty queue.
type queue struct{ first, last *op }

func (q *queue) empty() bool { return q.first == nil }

// add puts o behind the others.
func (q *queue) add(o *op) {
	if q.last == nil {
		q.first = o
	} else {
		q.last.next = o
	}
	q.last = o
}

// take takes the first out; there has to be one.
func (q *queue) take() *op {
	o := q.first
	q.first, o.next = o.next, nil
	if q.first == nil {
		q.last = nil
	}
	return o
}
