package estate

// The rows of the change feed: what the ledger stores and the graph holds. IDs
// are given by the ledger in the order in which things became known, are dense,
// and start at 1.

// PackageID, SubjectID and BillID are the ledger's row numbers.
type (
	PackageID uint32
	SubjectID uint32
	BillID    uint32
)

// Package is a package at one version, identified: what purl.Identify makes of
// a Component. Equal keys are the same package everywhere.
type Package struct {
	ID PackageID `json:"-"`
	// Key is the canonical purl with the qualifiers that tell packages apart
	// (distro, upstream, epoch, arch and the like); "?type:name@version" where
	// there is no usable purl.
	Key string `json:"purl"`
	// Name and Version are for people, in the ecosystem's own form
	// ("group:artifact", "@scope/name").
	Name    string `json:"name"`
	Version string `json:"version"`
	// Ecosystem is OSV's name with its normalised suffix: "npm", "Debian:12".
	// It is "" when the package cannot be matched.
	Ecosystem string `json:"ecosystem,omitempty"`
	// Match is how advisories name it. The second one is blank, or the binary
	// name of a distribution whose advisories may use either.
	Match [2]Coordinate `json:"-"`
	// Unmatched is why no advisory can be matched, "" when one can.
	Unmatched Unmatched `json:"unmatched,omitempty"`
}

// Coordinate is a name and version as advisories of the ecosystem state them.
type Coordinate struct{ Name, Version string }

// PackageName is a package without its version. Ecosystem carries no suffix
// where it is used as an index key.
type PackageName struct{ Ecosystem, Name string }

// Unmatched is a reason why a package cannot be matched.
type Unmatched string

// The reasons.
const (
	NoPurl           Unmatched = "no purl"
	BadPurl          Unmatched = "unparsable purl"
	NoVersion        Unmatched = "no version"
	BadVersion       Unmatched = "unparsable version"
	UnknownEcosystem Unmatched = "unknown ecosystem"
	NoDistroRelease  Unmatched = "distribution release not stated"
	NotAPackage      Unmatched = "not a package" // files, operating systems, the subject itself
)

// SubjectRow is an asserted identity with its id.
type SubjectRow struct {
	ID SubjectID
	Subject
}

// BillRow is one SBOM of one subject.
type BillRow struct {
	ID                        BillID
	Subject                   SubjectID
	Evidence                  string // SHA-256, hex
	Source                    string
	Format, Generator, Serial string
	Made, At, Known           Time
	Partial                   bool
	Packages                  []PackageID // sorted, each once
	Listed                    int         // components in the document, before joining equal ones
	Reported                  int
	Notes                     []string
}

// Shape is the dependency graph of one bill; see Bill.Depends and Bill.Direct.
// Order maps the document's component index to the package.
type Shape struct {
	Order   []PackageID
	Depends [][]int32
	Direct  []int32
}

// EventRow says that a release was deployed to, or removed from, an environment.
type EventRow struct {
	ID          int64
	Subject     SubjectID
	Environment string // as asserted
	Source      string
	Removed     bool
	Alongside   bool
	Config      string
	Replicas    int
	At, Known   Time
	Evidence    string
	// Batch groups the events of one document; they are one change. With
	// Complete, the environment ran nothing else at At, as far as Source knows.
	Batch    int64
	Complete bool
}

// ArtifactRow says that a subject ships as the artifact of its digest.
type ArtifactRow struct {
	ID        int64
	Subject   SubjectID
	Source    string
	Purl      string
	At, Known Time
	Evidence  string
}

// VerdictRow is a verdict with its id.
type VerdictRow struct {
	ID       int64
	Known    Time
	Source   string
	Evidence string
	Verdict
}

// AdvisoryRow is the newest revision of an advisory record that the reader of
// the feed may know. Raw is left out, and enumerated versions that a range
// covers anyway.
type AdvisoryRow struct {
	Advisory
	Known    Time // when this revision became known
	Since    Time // when what it says is affected became known, by this or an earlier revision
	Revision int  // 1 for the first
	Source   string
}

// DescriptionRow is an estate description; the newest of each source holds.
type DescriptionRow struct {
	ID       int64
	Known    Time
	Source   string
	Evidence string
	Description
}

// Member is one service of an application version.
type Member struct {
	Service string `json:"service"` // "[namespace/]name"
	Release string `json:"release"` // the version, as shown
	Config  string `json:"config,omitempty"`
}

// AppVersionRow is a minted application version. It is a decision: rebuild
// keeps it, and nothing edits it.
type AppVersionRow struct {
	Application string
	Number      int
	Hash        string // SHA-256, hex, of the sorted members
	Environment string // where it was first seen
	At, Known   Time   // when the set was complete there; when it was minted
	Members     []Member
}

// Change is one step of the change feed, in one transaction: packages and
// subjects first, since the other rows refer to them.
type Change struct {
	Seq          int64 // of the newest row; rises, not densely
	Packages     []Package
	Subjects     []SubjectRow
	Bills        []BillRow
	Events       []EventRow
	Artifacts    []ArtifactRow
	Verdicts     []VerdictRow
	Advisories   []AdvisoryRow // of packages in use
	Records      int           // advisory records stored, in use or not
	Exploited    []Exploited
	Likelihoods  []Likelihood
	Descriptions []DescriptionRow
	AppVersions  []AppVersionRow
}
