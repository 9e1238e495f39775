//go:build !unix

package sqlite

// syncDir does nothing: these systems offer no way to flush a directory.
func syncDir(string) error { return nil }
