package metrics

import "sync/atomic"

// source is the function that a scrape asks for what others know. The zero
// value has none.
type source[T any] struct{ f atomic.Pointer[func() T] }

// set names the function; nil: there is none.
func (s *source[T]) set(f func() T) {
	if f == nil {
		s.f.Store(nil)
		return
	}
	s.f.Store(&f)
}

// ask calls the function. It is false if there is none.
func (s *source[T]) ask() (answer T, ok bool) {
	f := s.f.Load()
	if f == nil {
		return answer, false
	}
	return (*f)(), true
}
