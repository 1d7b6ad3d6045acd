//go:build !linux

package load

import "context"

// Run returns ErrUnsupported.
func Run(context.Context, Plan) (Result, error) { return Result{}, ErrUnsupported }
