package admin

import (
	"cmp"
	"container/heap"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// SocketPage is a part of the ledger, oldest socket first.
type SocketPage struct {
	Sockets []Socket `json:"sockets"`
	// Next is the cursor of the page behind this one; empty: there is none.
	Next string `json:"next,omitempty"`
	// Matched is how many open sockets the filter lets through, on all pages.
	Matched int `json:"matched"`
}

// socketQuery says which sockets a page has.
type socketQuery struct {
	pool, backend string       // empty: any
	client        netip.Prefix // invalid: any
	key           string       // as Socket.Key has it; empty: any
	after         uint64       // number of the last socket of the page before
	limit         int          // at most so many; more than 0
}

func (q *socketQuery) matches(s *Socket) bool {
	return (q.pool == "" || s.Pool == q.pool) && (q.backend == "" || s.Backend == q.backend) &&
		(q.key == "" || s.Key == q.key) && (!q.client.IsValid() || q.client.Contains(s.Client))
}

// read makes the page of q. However many sockets there are, it remembers no
// more than a page of them: the oldest behind q.after so far.
func (s *Server) read(q socketQuery) SocketPage {
	var page SocketPage
	oldest := make(newestFirst, 0, q.limit+1)
	s.opts.Ledger.Each(func(one *Socket) bool {
		if !q.matches(one) {
			return true
		}
		page.Matched++
		if one.Number <= q.after || len(oldest) > q.limit && one.Number > oldest[0].Number {
			return true
		}
		heap.Push(&oldest, *one)
		if len(oldest) > q.limit+1 { // one more tells that there is a next page
			heap.Pop(&oldest)
		}
		return true
	})
	slices.SortFunc(oldest, func(a, b Socket) int { return cmp.Compare(a.Number, b.Number) })
	page.Sockets = oldest[:min(len(oldest), q.limit)]
	for i := range page.Sockets {
		page.Sockets[i].ID = s.socketID(page.Sockets[i].Number)
	}
	if len(oldest) > q.limit {
		page.Next = page.Sockets[q.limit-1].ID
	}
	return page
}

// newestFirst is a heap with the largest number on top.
type newestFirst []Socket

func (h newestFirst) Len() int           { return len(h) }
func (h newestFirst) Less(i, j int) bool { return h[i].Number > h[j].Number }
func (h newestFirst) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *newestFirst) Push(s any) { *h = append(*h, s.(Socket)) }

// Pop implements heap.Interface.
func (h *newestFirst) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// socketID is a socket's number behind a tag of the process, so that an id
// that somebody has noted closes no stranger's socket after a restart.
func (s *Server) socketID(number uint64) string {
	return s.opts.Run + "-" + strconv.FormatUint(number, 10)
}

// socketNumber reads an id of this process.
func (s *Server) socketNumber(id string) (uint64, bool) {
	text, ours := strings.CutPrefix(id, s.opts.Run+"-")
	n, err := strconv.ParseUint(text, 10, 64)
	return n, ours && err == nil && n > 0
}
