package answer

import (
	"context"
	"io"

	"thymus/internal/estate"
	"thymus/internal/fault"
)

// Asker answers questions about one graph. Its methods may be called concurrently.
type Asker struct{}

var errSkeleton = fault.New(fault.Unavailable, "not answered yet")

func (a *Asker) Affected(ctx context.Context, s Scope, w When, query string, p Page) (*Affected, error) {
	return nil, errSkeleton
}
func (a *Asker) Exposures(ctx context.Context, s Scope, q ExposureQuery) (*ExposureList, error) {
	return nil, errSkeleton
}
func (a *Asker) Fixes(ctx context.Context, s Scope, q ExposureQuery) (*FixList, error) {
	return nil, errSkeleton
}
func (a *Asker) Apps(ctx context.Context, s Scope, w When) ([]AppSummary, error) {
	return nil, errSkeleton
}
func (a *Asker) App(ctx context.Context, s Scope, w When, name string) (*AppDetail, error) {
	return nil, errSkeleton
}
func (a *Asker) AppVersions(ctx context.Context, s Scope, w When, name string, p Page) (*AppVersionList, error) {
	return nil, errSkeleton
}
func (a *Asker) AppDiff(ctx context.Context, s Scope, w When, name string, from, to int) (*AppDiff, error) {
	return nil, errSkeleton
}

// AppExport writes the aggregated SBOM of an application version; format is
// "cyclonedx" (1.6 JSON) or "spdx" (2.3 JSON). Number 0 means the newest.
func (a *Asker) AppExport(ctx context.Context, s Scope, w When, name string, number int, format string, out io.Writer) error {
	return errSkeleton
}

// ServiceFilter filters the service list; blank fields do not filter.
type ServiceFilter struct{ Text, Domain, Team, Application, Environment string }

func (a *Asker) Services(ctx context.Context, s Scope, w When, f ServiceFilter, p Page) (*ServiceList, error) {
	return nil, errSkeleton
}
func (a *Asker) Service(ctx context.Context, s Scope, w When, name string) (*Service, error) {
	return nil, errSkeleton
}

// Release answers for "[namespace/]name@version".
func (a *Asker) Release(ctx context.Context, s Scope, w When, release string) (*Release, error) {
	return nil, errSkeleton
}

// Package answers for a purl without version, or "Ecosystem:name".
func (a *Asker) Package(ctx context.Context, s Scope, w When, query string) (*PackageDetail, error) {
	return nil, errSkeleton
}
func (a *Asker) Coverage(ctx context.Context, s Scope, w When) (*Coverage, error) {
	return nil, errSkeleton
}

// Metrics are of one application and one environment; blank means all.
func (a *Asker) Metrics(ctx context.Context, s Scope, w When, application, environment string) (*Metrics, error) {
	return nil, errSkeleton
}

// OSVQuery is one query of OSV's API: a purl, or a package and a version.
type OSVQuery struct {
	Ecosystem, Name, Purl, Version string
}

// OSVMatch answers OSV's /v1/query: the records that affect the package at
// that version; all records of the package when the version is blank.
func (a *Asker) OSVMatch(ctx context.Context, q OSVQuery) ([]OSVRecord, error) {
	return nil, errSkeleton
}

// OSVRecord is a record's id, modification time and raw JSON.
type OSVRecord struct {
	ID       string
	Modified estate.Time
	Raw      []byte
}
