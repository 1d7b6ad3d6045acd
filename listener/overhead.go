package listener

import "errors"

// What frames a chunked body (RFC 9112, section 7.1) is bounded by what it
// frames: extensions of chunks without end would otherwise pass max_body_bytes
// and keep every timeout awake. The bounds are those of net/http.
const (
	// freeOverhead is what any body may have.
	freeOverhead = 16 << 10
	// overheadPerRead is what each piece that was read earns, and
	// overheadPerByte each of its bytes.
	overheadPerRead = 16
	overheadPerByte = 2
)

var errOverhead = errors.New("read request body: there is far more chunk framing than data")

// TookBody is for the handler, or the goroutine that reads the body for it, to
// call behind each Read of a chunked body, with how many bytes that yielded,
// and before the first one with 0. From then on a body that is hardly more than
// framing ends with an error.
func (c *Conn) TookBody(n int) {
	if !c.metered {
		c.metered = true
		c.allowance = freeOverhead + int(c.socket.settings.Load().limits.MaxHeaderBytes) // for trailers
	}
	c.allowance += overheadPerRead + (1+overheadPerByte)*n
}
