//go:build !unix

package sqlite

// cpuTime is not measured here.
func cpuTime() int64 { return 0 }
