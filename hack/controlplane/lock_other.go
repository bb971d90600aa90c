//go:build !unix

package main

import "context"

// lock does nothing where there is no flock: two first builds at once then do the same work twice, the later one
// replacing the folder of the earlier.
func lock(context.Context, string, func()) (func(), error) {
	return func() {}, nil
}
