// Package graph holds the estate in memory, indexed both ways.
package graph

// Graph is the estate as known at one time.
type Graph struct{}
