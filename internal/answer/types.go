// Package answer holds the questions: pure functions of the graph, asked by the
// command line, the API and the screens alike, so that one question has one answer.
package answer

import "thymus/internal/estate"

// When states both clocks of an answer: At, when things were true in the world,
// and Known, what Thymus had acknowledged by then. Zero means now.
type When struct {
	At    estate.Time `json:"at"`
	Known estate.Time `json:"known"`
}

// Scope is what the asker may see. The zero value sees everything. With
// Limited, services outside Domains (and their sub-domains) are counted and
// never named.
type Scope struct {
	Limited bool
	Domains []string
}

// Page asks for one page of a list. Limit 0 means 50; at most 500. After is the
// Next of the page before, "" for the first.
type Page struct {
	Limit int
	After string
	Brief bool // leave out what must be fetched row by row: paths, lines, references
}

// Counted is a total. Over tells that counting stopped there: at least N.
type Counted struct {
	N    int  `json:"n"`
	Over bool `json:"over,omitempty"`
}

// States of an Affected answer.
const (
	StateAffected    = "affected"     // releases that run now have it
	StateNotRunning  = "not_running"  // releases have it, and none of them runs
	StateClosed      = "closed"       // it would be affected, but for verdicts
	StateNotAffected = "not_affected" // assessed, and no release has it
	StateNotAssessed = "not_assessed" // a feed or an SBOM is missing: see NotAssessed
)

// Affected answers "an advisory is out (or a package is suspect): are we hit?".
type Affected struct {
	When         When           `json:"when"`
	Query        string         `json:"query"`
	State        string         `json:"state"`
	Verdict      string         `json:"verdict"`           // one sentence for a person
	Advisories   []Advisory     `json:"advisories"`        // the alias group first; empty for a package query without one
	Related      []Related      `json:"related,omitempty"` // records that name the query only in related or upstream
	Counts       AffectedCounts `json:"counts"`
	Fixes        []Fix          `json:"fixes"`
	Environments []EnvHit       `json:"environments"`
	Applications []AppHit       `json:"applications"`
	Releases     []ReleaseHit   `json:"releases"` // one page: those that run first
	Suppressed   []Decision     `json:"suppressed,omitempty"`
	NotAssessed  []Gap          `json:"not_assessed,omitempty"`
	Next         string         `json:"next,omitempty"`
}

// AffectedCounts counts what is hit. Hidden counts what the asker may not see.
type AffectedCounts struct {
	Releases     int `json:"releases"` // that contain an affected package, running or not
	Running      int `json:"running"`  // of these, releases that run at that time and are not closed by a verdict
	Services     int `json:"services"` // of the running ones
	Environments int `json:"environments"`
	Applications int `json:"applications"`
	Exposures    int `json:"exposures"`        // open: service × environment
	Suppressed   int `json:"suppressed"`       // closed by a verdict
	Hidden       int `json:"hidden,omitempty"` // exposures outside the asker's scope, included in Exposures
}

// Advisory is an alias group.
type Advisory struct {
	ID         string             `json:"id"`      // the CVE where there is one
	Aliases    []string           `json:"aliases"` // every other id of the group
	Summary    string             `json:"summary"`
	Severity   estate.Severity    `json:"severity"`
	Score      float64            `json:"score,omitempty"` // CVSS base score; absent when unscored
	Vector     string             `json:"vector,omitempty"`
	EPSS       *float64           `json:"epss,omitempty"`
	Percentile *float64           `json:"epss_percentile,omitempty"`
	Exploited  *Exploited         `json:"exploited,omitempty"`
	Published  estate.Time        `json:"published"`
	Modified   estate.Time        `json:"modified,omitempty"`
	Withdrawn  estate.Time        `json:"withdrawn,omitempty"`
	Known      estate.Time        `json:"known"`
	Revision   int                `json:"revision,omitempty"`
	References []estate.Reference `json:"references,omitempty"`
}

// Exploited says who lists the vulnerability as exploited, and since when.
type Exploited struct {
	List       string      `json:"list"`
	Added      estate.Time `json:"added"`
	Due        estate.Time `json:"due,omitempty"`
	Ransomware bool        `json:"ransomware,omitempty"`
}

// Related is a record that is no alias but names the query.
type Related struct {
	Advisory
	By       string `json:"by"` // "related" or "upstream"
	Releases int    `json:"releases"`
	Running  int    `json:"running"`
}

// Fix is the smallest change of one package that takes it out of every matched
// advisory asked about.
type Fix struct {
	Package  string   `json:"package"`         // name, without version
	Purl     string   `json:"purl"`            // without version
	From     []string `json:"from"`            // affected versions in use, in order
	To       string   `json:"to,omitempty"`    // "" when no fix is known
	Major    bool     `json:"major,omitempty"` // To crosses a major version
	Direct   int      `json:"direct"`          // releases that depend on it directly, of those on this page
	Indirect int      `json:"transitive"`      // and transitively
	Releases int      `json:"releases"`
}

// EnvHit counts open exposures in one environment.
type EnvHit struct {
	Name      string `json:"name"`
	Tier      string `json:"tier,omitempty"`
	Exposures int    `json:"exposures"`
}

// AppHit is a logical application with open exposures.
type AppHit struct {
	Name      string     `json:"name"`
	Title     string     `json:"title,omitempty"`
	Services  []string   `json:"services"` // those hit, within scope
	Exposures int        `json:"exposures"`
	Versions  []AppAtEnv `json:"versions"` // running now, by environment
}

// AppAtEnv is the application version that runs in an environment.
type AppAtEnv struct {
	Environment string `json:"environment"`
	Number      int    `json:"version"`
	Affected    bool   `json:"affected"`
}

// ReleaseHit is one affected release, with where it runs and why.
type ReleaseHit struct {
	Service      string       `json:"service"`
	Version      string       `json:"version"`
	Domain       string       `json:"domain,omitempty"`
	Team         string       `json:"team,omitempty"`
	Packages     []PackageHit `json:"packages"`
	Deployments  []RunsIn     `json:"deployments"` // at the time asked about
	Applications []string     `json:"applications"`
}

// RunsIn is a deployment at the time asked about.
type RunsIn struct {
	Environment string      `json:"environment"`
	Since       estate.Time `json:"since"`
	Until       estate.Time `json:"until,omitempty"`
	Exposed     estate.Time `json:"exposed"`  // when the exposure opened; earlier than Since when a release before had it too
	Detected    estate.Time `json:"detected"` // when all inputs were known
	Reason      string      `json:"reason"`   // "advisory" or "deployment": what opened it
	Source      string      `json:"source"`
	Closed      *Decision   `json:"closed,omitempty"` // by a verdict
}

// PackageHit is one affected package of a release, and why it matches.
type PackageHit struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	Purl    string   `json:"purl"`
	Direct  *bool    `json:"direct,omitempty"` // nil: the SBOM does not say
	Path    []string `json:"path,omitempty"`   // from the release's direct dependency down to this package
	Fix     string   `json:"fix,omitempty"`
	Major   bool     `json:"major,omitempty"`
	Via     string   `json:"via,omitempty"` // direct dependency to raise when transitive
	Why     []Why    `json:"why"`
}

// Why leads a match back to its evidence.
type Why struct {
	Record   string `json:"record"` // advisory record id
	Revision int    `json:"revision,omitempty"`
	Range    string `json:"range"`              // "introduced 2.0-beta9, fixed 2.15.0" or "listed"
	Compared string `json:"compared"`           // "Maven log4j-core 2.14.1", the coordinate and order used
	Evidence string `json:"evidence,omitempty"` // SHA-256 of the SBOM
	Format   string `json:"format,omitempty"`
	Line     int    `json:"line,omitempty"` // first line of the SBOM that names the package
	Source   string `json:"source,omitempty"`
}

// Decision is a verdict as shown.
type Decision struct {
	ID            int64         `json:"id"`
	Advisory      string        `json:"advisory"`
	Status        estate.Status `json:"status"`
	Scope         string        `json:"scope"` // "everywhere", "service cart", "release cart@1.4", …, with " in production"
	Package       string        `json:"package,omitempty"`
	Range         string        `json:"range,omitempty"`
	Justification string        `json:"justification,omitempty"`
	Reason        string        `json:"reason,omitempty"`
	Author        string        `json:"author,omitempty"`
	At            estate.Time   `json:"at"`
	Expires       estate.Time   `json:"expires,omitempty"`
	Source        string        `json:"source,omitempty"`
}

// Gap is something that the answer would need and does not have.
type Gap struct {
	Kind     string   `json:"kind"` // "feed", "sbom", "package"
	What     string   `json:"what"` // the ecosystem, the service@version, the reason
	Count    int      `json:"count"`
	Remedy   string   `json:"remedy"` // the command or line that cures it
	Examples []string `json:"examples,omitempty"`
}

// Exposure is an advisory × a service × an environment.
type Exposure struct {
	Advisory    string          `json:"advisory"`
	Severity    estate.Severity `json:"severity"`
	Score       float64         `json:"score,omitempty"`
	EPSS        *float64        `json:"epss,omitempty"`
	Exploited   bool            `json:"exploited,omitempty"`
	Service     string          `json:"service"`
	Domain      string          `json:"domain,omitempty"`
	Team        string          `json:"team,omitempty"`
	Environment string          `json:"environment"`
	Releases    []string        `json:"releases"`
	Packages    []string        `json:"packages"`      // "log4j-core 2.14.1"
	Fix         string          `json:"fix,omitempty"` // "log4j-core 2.15.0"
	Opened      estate.Time     `json:"opened"`
	Detected    estate.Time     `json:"detected"`
	OpenedBy    string          `json:"opened_by"` // advisory, deployment
	Closed      estate.Time     `json:"closed,omitempty"`
	ClosedBy    string          `json:"closed_by,omitempty"` // upgraded, undeployed, not affected, fixed, withdrawn
	Due         estate.Time     `json:"due,omitempty"`       // by the service level
	Overdue     bool            `json:"overdue,omitempty"`
	Decision    *Decision       `json:"decision,omitempty"`
}

// ExposureQuery filters and orders the exposure list. Blank fields do not filter.
type ExposureQuery struct {
	When        When
	Advisory    string // any id of the group
	Service     string
	Team        string
	Domain      string // with its sub-domains
	Application string
	Environment string
	Tier        string // environment tier
	Package     string // name or purl without version
	Ecosystem   string
	MinSeverity estate.Severity
	MinEPSS     float64
	Exploited   *bool
	Fixable     *bool
	Overdue     *bool
	State       string // "open" (default), "suppressed", "closed", "all"
	Sort        string // "severity" (default), "epss", "published", "opened", "service"; a leading "-" reverses
	Page        Page
}

// ExposureList is one page.
type ExposureList struct {
	When  When       `json:"when"`
	Total Counted    `json:"total"`
	Items []Exposure `json:"items"`
	Next  string     `json:"next,omitempty"`
}

// FixGroup is what one change of one package would close.
type FixGroup struct {
	Package    string          `json:"package"`
	Purl       string          `json:"purl"`
	From       []string        `json:"from"`
	To         string          `json:"to,omitempty"`
	Major      bool            `json:"major,omitempty"`
	Severity   estate.Severity `json:"severity"` // the worst closed
	Exploited  bool            `json:"exploited,omitempty"`
	Advisories int             `json:"advisories"`
	Exposures  int             `json:"exposures"`
	Services   []string        `json:"services"`
	Over       bool            `json:"over,omitempty"` // counting stopped; at least these
}

// FixList is one page of fix groups, those that close most first.
type FixList struct {
	When  When       `json:"when"`
	Items []FixGroup `json:"items"`
	Next  string     `json:"next,omitempty"`
}

// AppSummary is one application in the list.
type AppSummary struct {
	Name      string          `json:"name"`
	Title     string          `json:"title,omitempty"`
	Team      string          `json:"team,omitempty"`
	Services  int             `json:"services"`
	Versions  int             `json:"versions"`
	Running   []AppAtEnv      `json:"running"`
	Exposures int             `json:"exposures"`
	Worst     estate.Severity `json:"worst"`
}

// AppDetail is one application.
type AppDetail struct {
	When When `json:"when"`
	AppSummary
	Members []AppMember `json:"members"`
	Metrics Metrics     `json:"metrics"`
}

// AppMember is one member service with what runs of it.
type AppMember struct {
	Service    string   `json:"service"`
	Domain     string   `json:"domain,omitempty"`
	Team       string   `json:"team,omitempty"`
	SharedWith []string `json:"shared_with,omitempty"` // other applications that contain it
	Running    []RunsAt `json:"running"`
	Exposures  int      `json:"exposures"`
}

// RunsAt is a release that runs somewhere.
type RunsAt struct {
	Environment string      `json:"environment"`
	Release     string      `json:"release"`
	Since       estate.Time `json:"since"`
	HasSBOM     bool        `json:"has_sbom"`
}

// AppVersion is a minted application version, and where and when it ran.
type AppVersion struct {
	Application string          `json:"application"`
	Number      int             `json:"version"`
	Hash        string          `json:"hash"`
	At          estate.Time     `json:"at"`    // when the set was first complete
	Known       estate.Time     `json:"known"` // when it was minted
	Members     []estate.Member `json:"members"`
	Hidden      int             `json:"hidden,omitempty"` // members outside the asker's scope
	Ran         []Ran           `json:"ran"`
	Packages    int             `json:"packages"`
	Exposures   int             `json:"exposures"` // advisories that match its packages at the time asked about
}

// Ran is an interval in which an application version ran in an environment.
type Ran struct {
	Environment string      `json:"environment"`
	From        estate.Time `json:"from"`
	Until       estate.Time `json:"until,omitempty"`
}

// AppVersionList is one page, newest first.
type AppVersionList struct {
	When When `json:"when"`
	// Pending is when a set that has not settled yet will be minted, if nothing else changes.
	Pending estate.Time  `json:"pending,omitzero"`
	Items   []AppVersion `json:"items"`
	Next    string       `json:"next,omitempty"`
}

// AppDiff is what changed between two application versions.
type AppDiff struct {
	When        When             `json:"when"`
	Application string           `json:"application"`
	From        int              `json:"from"`
	To          int              `json:"to"`
	Releases    []ReleaseChange  `json:"releases"`
	Packages    []PackageChange  `json:"packages"`
	Exposures   []AdvisoryChange `json:"exposures"`
	Unchanged   int              `json:"unchanged"` // services in both with the same release
}

// ReleaseChange is a service that was added, removed or changed: From or To is "" when added or removed.
type ReleaseChange struct {
	Service    string `json:"service"`
	From       string `json:"from,omitempty"`
	To         string `json:"to,omitempty"`
	FromConfig string `json:"from_config,omitempty"`
	ToConfig   string `json:"to_config,omitempty"`
}

// PackageChange is a package (without version) whose set of versions in the
// application changed, and the services concerned.
type PackageChange struct {
	Package  string   `json:"package"` // canonical purl without version
	Name     string   `json:"name"`
	From     []string `json:"from"` // versions before, in order
	To       []string `json:"to"`
	Services []string `json:"services"` // that bring the versions in From or To that are not in both
}

// AdvisoryChange is an advisory that matches one side alone.
type AdvisoryChange struct {
	Advisory string          `json:"advisory"`
	Severity estate.Severity `json:"severity"`
	Change   string          `json:"change"` // "appeared" or "gone"
	Services []string        `json:"services"`
	Packages []string        `json:"packages"`
}

// Service is one service as shown alone.
type Service struct {
	When         When             `json:"when"`
	Name         string           `json:"name"` // "[namespace/]name"
	Title        string           `json:"title,omitempty"`
	Domain       string           `json:"domain,omitempty"`
	Team         string           `json:"team,omitempty"`
	Tier         int              `json:"tier,omitempty"`
	Repository   string           `json:"repository,omitempty"`
	Language     string           `json:"language,omitempty"`
	Vendor       string           `json:"vendor,omitempty"`
	Aliases      []string         `json:"aliases,omitempty"` // names that joined, with the reason
	Applications []string         `json:"applications"`
	Running      []RunsAt         `json:"running"`
	Releases     []ReleaseSummary `json:"releases"`  // newest first, at most 200
	Exposures    map[string]int   `json:"exposures"` // open, by severity
}

// ServiceSummary is one row of the service list.
type ServiceSummary struct {
	Name      string          `json:"name"`
	Domain    string          `json:"domain,omitempty"`
	Team      string          `json:"team,omitempty"`
	Running   []RunsAt        `json:"running"`
	Exposures int             `json:"exposures"`
	Worst     estate.Severity `json:"worst"`
}

// ServiceList is one page by name.
type ServiceList struct {
	When  When             `json:"when"`
	Total Counted          `json:"total"`
	Items []ServiceSummary `json:"items"`
	Next  string           `json:"next,omitempty"`
}

// ReleaseSummary is one release in a list.
type ReleaseSummary struct {
	Version  string      `json:"version"`
	Known    estate.Time `json:"known"`
	Packages int         `json:"packages"`
	HasSBOM  bool        `json:"has_sbom"`
	Runs     []RunsIn    `json:"runs,omitempty"`
	Matches  int         `json:"matches"` // advisories
}

// Release is one release as shown alone.
type Release struct {
	When         When             `json:"when"`
	Service      string           `json:"service"`
	Version      string           `json:"version"`
	Digests      []string         `json:"digests,omitempty"`
	SBOMs        []SBOM           `json:"sboms"`
	Packages     int              `json:"packages"`
	Unmatched    []UnmatchedCount `json:"unmatched,omitempty"`
	Runs         []RunsIn         `json:"runs"` // all intervals
	Matches      []MatchSummary   `json:"matches"`
	Applications []string         `json:"applications"`
}

// SBOM is one bill of a release.
type SBOM struct {
	Evidence  string      `json:"evidence"`
	Format    string      `json:"format"`
	Generator string      `json:"generator,omitempty"`
	Source    string      `json:"source"`
	Made      estate.Time `json:"made,omitempty"`
	Known     estate.Time `json:"known"`
	Packages  int         `json:"packages"`
	Replaced  bool        `json:"replaced,omitempty"`
	Partial   bool        `json:"partial,omitempty"`
	Notes     []string    `json:"notes,omitempty"`
}

// MatchSummary is an advisory that matches a release.
type MatchSummary struct {
	Advisory string          `json:"advisory"`
	Severity estate.Severity `json:"severity"`
	Score    float64         `json:"score,omitempty"`
	Packages []string        `json:"packages"`
	Fix      string          `json:"fix,omitempty"`
	Decision *Decision       `json:"decision,omitempty"`
}

// UnmatchedCount counts packages that cannot be matched, by reason.
type UnmatchedCount struct {
	Reason   estate.Unmatched `json:"reason"`
	Count    int              `json:"count"`
	Examples []string         `json:"examples"`
}

// PackageDetail is a package over all its versions in use.
type PackageDetail struct {
	When      When             `json:"when"`
	Name      string           `json:"name"`
	Ecosystem string           `json:"ecosystem"`
	Purl      string           `json:"purl"`
	Versions  []PackageVersion `json:"versions"` // in order
	Assessed  bool             `json:"assessed"` // a feed for its ecosystem is loaded
}

// PackageVersion is one version in use.
type PackageVersion struct {
	Version    string   `json:"version"`
	Purl       string   `json:"purl"`
	Releases   int      `json:"releases"`
	Running    int      `json:"running"`
	Services   []string `json:"services"` // within scope, at most 50
	Advisories []string `json:"advisories"`
	Fix        string   `json:"fix,omitempty"`
}

// Coverage says what Thymus does not know.
type Coverage struct {
	When        When             `json:"when"`
	Services    int              `json:"services"`
	Running     int              `json:"running"`      // service × environment
	WithoutSBOM int              `json:"without_sbom"` // of the running ones
	Packages    int              `json:"packages"`     // distinct versions in releases that run
	Matchable   int              `json:"matchable"`
	Unmatched   []UnmatchedCount `json:"unmatched"`
	Ecosystems  []EcosystemCover `json:"ecosystems"`
	Unresolved  []Unresolved     `json:"unresolved"` // names that did not join
	Unowned     []string         `json:"unowned"`
	Gaps        []Gap            `json:"gaps"`
	Problems    []string         `json:"problems,omitempty"` // advisory ranges that could not be evaluated, at most 50
}

// EcosystemCover is how one ecosystem in use is covered by a feed.
type EcosystemCover struct {
	Ecosystem  string      `json:"ecosystem"`
	Packages   int         `json:"packages"`
	Advisories int         `json:"advisories"`        // records stored
	Newest     estate.Time `json:"newest,omitempty"`  // modification time of the newest record
	Checked    estate.Time `json:"checked,omitempty"` // last successful update
	Assessed   bool        `json:"assessed"`
}

// Unresolved is an asserted name that joined nothing.
type Unresolved struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
	Remedy string `json:"remedy"`
}

// Metrics are computed from the intervals of exposures, by DESIGN's time rules.
type Metrics struct {
	When         When     `json:"when"`
	Open         int      `json:"open"`
	Closed       int      `json:"closed"` // in the whole record
	Upgraded     int      `json:"closed_by_upgrade"`
	DetectMean   *float64 `json:"time_to_detect_hours_mean"`
	DetectMedian *float64 `json:"time_to_detect_hours_median"`
	RemedyMean   *float64 `json:"time_to_remediate_days_mean"` // closings by upgrade alone
	RemedyMedian *float64 `json:"time_to_remediate_days_median"`
	ExposureDays float64  `json:"exposure_days"` // summed over exposures
	Overdue      int      `json:"over_service_level"`
	Within       *float64 `json:"closed_within_service_level"` // share, 0 to 1
	Opened30     int      `json:"opened_last_30_days"`
	Closed30     int      `json:"closed_last_30_days"`
}
