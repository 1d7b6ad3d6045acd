//go:build !(linux && (amd64 || arm64))

package relay

import "errors"

func newLoop() (engine, error) { return nil, errors.New("this system has no epoll") }
