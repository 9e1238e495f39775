// Package demo is a small company to look around in: a shop with eighteen
// services, their SBOMs, nine months of deployments, the advisories that hit
// them, and what people decided. "thymus demo" shows it, and tests may use it.
//
// The story is kept in the compact, hand-written files of the folder estate,
// which say in their first lines how they are read. Documents expands them into
// the very documents that pipelines, clusters and feeds would send (CycloneDX,
// SPDX, deployments, CDEvents, OSV, OpenVEX, KEV, EPSS), so that the demo goes
// the main path like everything else. The same documents come out every time:
// their times, serial numbers and digests follow from the files alone.
//
// The company and its services are made up. Package names and versions are
// real, but for those of the company and the one malicious package, and the
// advisories are facts of public records in our own words; where the story moved
// one, its file says so.
package demo

import (
	"cmp"
	"embed"
	"fmt"
	"slices"
	"time"

	"thymus/internal/estate"
)

// Document is one document of the story.
type Document struct {
	// Name says what it is, for people: "sbom/cart@1.5.0/cdxgen". It is unique.
	Name string
	Body []byte
	// Claim is what its sender says of it.
	Claim estate.Claim
	// Known is when it became known in the story. Now is never before it.
	Known estate.Time
}

//go:embed estate
var files embed.FS

// now is the story's today.
var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// Now returns the story's "today": the day after its newest advisory.
func Now() estate.Time { return estate.At(now) }

// Documents returns the story, in the order in which it became known. Every
// call makes the same documents anew. An error is a defect of the story's files.
func Documents() ([]Document, error) {
	s := &story{}
	for _, step := range []func() error{s.readPackages, s.readServices, s.readAdvisories, s.readSignals, s.tell} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("the demo's story: %w", err)
		}
	}
	slices.SortStableFunc(s.documents, func(a, b Document) int { return cmp.Compare(a.Known, b.Known) })
	return s.documents, nil
}

// story is what the files say, and the documents made of it so far.
type story struct {
	stacks     map[string]*tree // by name; see packages.go
	releases   []*release       // in file order
	byName     map[string]*release
	advisories []*record
	exploited  []exploited
	likely     []likely
	documents  []Document
}

// file reads one of the story's files.
func file(name string) ([]byte, error) {
	b, err := files.ReadFile("estate/" + name)
	if err != nil {
		return nil, fmt.Errorf("file %s: %w", name, err)
	}
	return b, nil
}

// moment reads a time of the story: "2026-02-16T09:00", UTC, or a date.
func moment(s string) (estate.Time, error) {
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return estate.At(t), nil
		}
	}
	return 0, fmt.Errorf("%q is no time like 2026-02-16T09:00", s)
}
