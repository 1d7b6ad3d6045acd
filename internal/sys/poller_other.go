//go:build unix && !(linux && (amd64 || arm64))

package sys

// HasPoller tells that this platform has no Poller; relay uses its portable
// engine here.
const HasPoller = false
