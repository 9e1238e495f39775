package estate

// Fact is one thing that a reader read in one piece of evidence. The concrete
// types are those of this file; the set is closed.
type Fact interface{ fact() }

func (*Bill) fact()        {}
func (*Deployments) fact() {}
func (*Packaged) fact()    {}
func (*Advisory) fact()    {}
func (*Verdict) fact()     {}
func (*Exploited) fact()   {}
func (*Likelihood) fact()  {}
func (*Description) fact() {}

// Bill is the bill of materials that one SBOM gives for one release.
type Bill struct {
	Subject   Subject     // what the document says it is about; the claim beats it
	Format    string      // "CycloneDX 1.6 JSON", "SPDX 2.3 tag-value", …
	Generator string      // the tool that made it, without its version; "" if not stated
	Serial    string      // serial number or document namespace
	Made      Time        // when the document says it was made
	Packages  []Component // in document order, nested ones flattened
	// Depends is the dependency graph: Depends[i] holds the indexes into
	// Packages that Packages[i] depends on directly. It is empty when the
	// document has none, else as long as Packages.
	Depends [][]int32
	// Direct holds the indexes that the subject itself depends on; empty when
	// the document does not say.
	Direct []int32
	// Partial tells that the document itself says its list is incomplete
	// (CycloneDX compositions, SPDX NOASSERTION).
	Partial bool
	// Services are the services that the document names (CycloneDX services).
	Services []BillService
	// Reported are vulnerabilities that the document's tool reported without a
	// decision; they are shown beside Thymus's own matches, never mixed with them.
	Reported []Reported
	// Notes says what the reader met and survived, for coverage: "specVersion
	// 1.8 is newer than this reader".
	Notes []string
}

// Component is one package as an SBOM states it, before it is matched.
type Component struct {
	Ref     string // bom-ref or SPDXID, unique in the document
	Type    string // "library", "application", "operating-system", …; "" if not stated
	Purl    string // as written; "" when the document has none
	Group   string // CycloneDX group
	Name    string // as written
	Version string // as written
	CPE     string
	// Source and SourceVersion name the distribution's source package where the
	// document says so outside the purl.
	Source, SourceVersion string
	// Distro is the distribution release that the document states outside the
	// purl, as "debian-12", "alpine-3.18", "rhel-9".
	Distro string
	// Scope is "", "required", "optional", "excluded" or "dev".
	Scope    string
	Licenses []string          // SPDX expressions or names
	Hashes   map[string]string // algorithm to hex
	Parent   int32             // index of the component that contains it, or -1
	Found    string            // where the tool found it (evidence), a path
}

// BillService is a service that a CycloneDX document lists.
type BillService struct {
	Ref, Name, Group, Version string
	Endpoints                 []string
	Authenticated             *bool
	CrossesTrust              *bool
	Data                      []string // classifications, "inbound: PII"
	Depends                   []string // refs
}

// Reported is what a scanner wrote into an SBOM about one vulnerability.
type Reported struct {
	ID       string
	Aliases  []string
	Severity Severity
	Refs     []string // component refs affected
}

// Deployments says what runs in one environment. One item is an event; with
// Complete set it is a dump, and what it does not list no longer runs there.
type Deployments struct {
	Environment string
	At          Time // zero: the claim's
	Complete    bool
	Items       []Deployment
}

// Deployment is a release that was started or removed.
type Deployment struct {
	Subject   Subject
	Removed   bool   // no longer runs there; a blank version removes every release of the service
	Alongside bool   // other releases of the service go on running there
	Config    string // digest of the configuration, "" if not stated
	Replicas  int    // 0: not stated
}

// Packaged says that a release ships as an artifact, by its digest (CDEvents
// artifact.packaged, image metadata).
type Packaged struct {
	Subject Subject
	Purl    string
	At      Time
}

// Advisory is one record in OSV's schema (https://ossf.github.io/osv-schema/).
// Records that name each other in Aliases form one alias group.
type Advisory struct {
	ID                         string
	Aliases, Related, Upstream []string
	Published, Modified        Time
	Withdrawn                  Time // zero: not withdrawn
	Summary                    string
	Scores                     []Score
	Graded                     Severity // database_specific.severity, where there is no vector
	Affected                   []Affected
	References                 []Reference
	Raw                        []byte // the record as received
}

// Score is a CVSS vector as OSV gives it: Type is CVSS_V2, CVSS_V3, CVSS_V4 or another scheme.
type Score struct{ Type, Vector string }

// Reference is a link with OSV's type (ADVISORY, FIX, WEB, …).
type Reference struct{ Type, URL string }

// Affected is one package of an advisory.
type Affected struct {
	Ecosystem string // as written, suffix kept: "Debian:12"
	Name      string
	Purl      string
	Ranges    []Range
	Versions  []string // enumerated versions, as written
	Scores    []Score  // of this package, where they differ
}

// Range is one range of an affected package. Type is SEMVER, ECOSYSTEM or GIT;
// others are kept and not evaluated.
type Range struct {
	Type   string
	Repo   string
	Events []RangeEvent
}

// RangeEvent is one event; exactly one field is set.
type RangeEvent struct {
	Introduced   string `json:"introduced,omitempty"`
	Fixed        string `json:"fixed,omitempty"`
	LastAffected string `json:"last_affected,omitempty"`
	Limit        string `json:"limit,omitempty"`
}

// Status is a verdict's decision, in OpenVEX's words.
type Status string

// The statuses. Only StatusNotAffected and StatusFixed close an exposure.
const (
	StatusNotAffected Status = "not_affected"
	StatusAffected    Status = "affected"
	StatusFixed       Status = "fixed"
	StatusInvestigate Status = "under_investigation"
)

// Verdict is a person's or a VEX document's decision: advisory × package range
// × scope × environment. The most specific scope wins; on a tie, affected.
type Verdict struct {
	Advisory string // an id of the alias group
	// Package limits it to a package: a purl, with or without a version; "" for all.
	Package string
	// Range limits it to versions of Package, in the words of ParseRange of
	// package version ("<2.15.0", ">=1.0,<1.4"); "" for all.
	Range string
	// Scope: at most one of these is set; none means everywhere.
	Release     Subject // Version set: that release; only Name set: the service
	Application string
	Domain      string
	Environment string // besides the scope; "" for all

	Status        Status
	Justification string // OpenVEX's vocabulary where it applies
	Reason        string // in words
	Author        string
	At            Time // zero: the claim's
	Expires       Time // zero: never
}

// Exploited says that a vulnerability is exploited in the wild (a KEV list).
type Exploited struct {
	CVE        string
	List       string // "CISA KEV"
	Added, Due Time
	Ransomware bool
	Note       string
}

// Likelihood is an EPSS score: the probability, 0 to 1, of exploitation within
// 30 days, and its percentile, 0 to 1.
type Likelihood struct {
	CVE               string
	Score, Percentile float64
	At                Time
}

// Description is what estate.yaml says: who owns what, what belongs together,
// and which names mean the same. The newest description of a source replaces
// its earlier ones from Since on.
type Description struct {
	Since        Time // zero: the receipt
	Domains      []DomainSpec
	Teams        []TeamSpec
	Services     []ServiceSpec
	Applications []ApplicationSpec
	Environments []EnvironmentSpec
	Objectives   []Objective
}

// DomainSpec is a domain; Parent is another domain's name, or "".
type DomainSpec struct{ Name, Title, Parent, Team string }

// TeamSpec is a team and where it is reached.
type TeamSpec struct{ Name, Title, Contact string }

// ServiceSpec describes one service. Aliases are "[namespace/]name" strings
// that mean this service; Artifacts are image names or digests that belong to it.
type ServiceSpec struct {
	Namespace, Name, Title string
	Domain, Team           string
	Tier                   int // 1 is the most important; 0: not stated
	Repository             string
	Language               string
	Vendor                 string // set for a service that others make
	Aliases                []string
	Artifacts              []string
	Retired                bool
}

// ApplicationSpec is a logical application: Services lists members by name;
// Domains and Teams select more; EntryPoints and their closure come with links.
type ApplicationSpec struct {
	Name, Title, Team string
	Tier              int
	Services          []string
	Domains, Teams    []string
	EntryPoints       []string
}

// EnvironmentSpec is an environment and the names that mean it. Tier is
// "production", "staging", "test" or "development".
type EnvironmentSpec struct {
	Name, Tier, Zone string
	Aliases          []string // "cluster/namespace", deployment.environment.name, CDEvents environment
}

// Objective is a service level: exposures of that severity (or exploited ones)
// in environments of that tier are closed within Days.
type Objective struct {
	Severity string // "critical", …, or "exploited"
	Tier     string // an environment tier; "" for all
	Days     int
}
