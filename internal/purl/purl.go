// Package purl turns components into identified packages.
package purl
