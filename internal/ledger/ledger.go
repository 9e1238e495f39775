// Package ledger is the system of record: evidence as received, who claimed
// what of it and when, the facts read from it, decisions, and the change feed
// that the graph follows. Implementations are folders beside this file; each
// passes the conformance suite ledgertest.
//
// Evidence is the truth and tables are its reading: Rebuild reads all evidence
// again. SQL lives in the implementations alone.
package ledger

import (
	"context"
	"iter"

	"thymus/internal/estate"
)

// Evidence is an original document, secrets redacted, addressed by the SHA-256
// of the bytes that were received.
type Evidence struct {
	SHA256 string // hex, of the bytes received
	Format string // the reader that knows it
	Body   []byte // as stored: secrets redacted
}

// Entry is one claim about one piece of evidence, with the facts read from it.
// It is stored whole or not at all.
type Entry struct {
	Evidence Evidence
	Claim    estate.Claim
	// Lane says what this entry replaces when it is newer: the same bytes and
	// claim again are a duplicate only while nothing newer came in the lane.
	// Blank: an equal (evidence, claim) is always a duplicate.
	Lane  string
	Known estate.Time // when Thymus acknowledges it; strictly rising within a ledger, the ledger nudges it when needed
	Facts []Fact
}

// Fact is a fact made ready for storage; exactly one field is set.
type Fact struct {
	Bill        *NewBill
	Event       *NewEvent
	Artifact    *NewArtifact
	Verdict     *estate.Verdict
	Exploited   *estate.Exploited
	Likelihood  *estate.Likelihood
	Description *estate.Description
}

// Times of facts (At, Since) that are zero or lie after the entry's Known are
// set to Known by the ledger, which alone knows the final Known: so a rebuild
// gives the same rows.

// NewBill is a bill whose packages are identified.
type NewBill struct {
	Subject                   estate.Subject
	Format, Generator, Serial string
	Made, At                  estate.Time
	Partial                   bool
	Packages                  []estate.Package // in document order; equal keys allowed
	Depends                   [][]int32
	Direct                    []int32
	Reported                  int
	Notes                     []string
}

// NewEvent is a deployment event. Events with equal Batch numbers within an
// entry are one change; Complete belongs to the batch.
type NewEvent struct {
	Subject            estate.Subject
	Environment        string
	Removed, Alongside bool
	Config             string
	Replicas           int
	At                 estate.Time
	Batch              int
	Complete           bool
}

// NewArtifact ties a subject to a digest.
type NewArtifact struct {
	Subject estate.Subject
	Purl    string
	At      estate.Time
}

// Outcome says what became of an entry.
type Outcome struct {
	Duplicate bool // it was known; nothing was stored
	Known     estate.Time
	Change    estate.Change
}

// Record is an advisory record to store: Advisory carries Raw as received and
// enumerated versions already cut down to those that no range covers.
type Record struct {
	Advisory estate.Advisory
	Source   string
	Known    estate.Time
}

// Replayed is a stored entry handed back by Rebuild.
type Replayed struct {
	Evidence Evidence
	Claim    estate.Claim
	Known    estate.Time
}

// Ledger is the system of record. All methods may be called concurrently.
// Errors carry a code of package fault.
type Ledger interface {
	// Append stores an entry durably (the write has reached the disk when it
	// returns) and atomically: evidence, claim, facts and feed rows. Concurrent
	// callers share commits. Changes have rising Seq in commit order, and the
	// caller must apply them in that order. An entry whose Known is not stated,
	// whose facts contradict themselves, or whose text is not UTF-8 or holds
	// NUL, is refused with fault.Invalid.
	Append(ctx context.Context, e Entry) (Outcome, error)

	// AppendRecords stores advisory records, in one transaction per call, for
	// which other writers wait: some thousand records a call. A record equal to
	// its newest revision, in what was read and in Raw, is left out. The change
	// holds those rows whose package names are in use (see Load), by this or an
	// earlier revision, so that whoever follows sees a record leave a package.
	// Times within a call do not fall; equal ones are kept.
	AppendRecords(ctx context.Context, rs []Record) (estate.Change, error)

	// AppendSignals adds what is known of exploitation: all rows of one list or
	// day in one transaction. Exploited rows that say what the newest of their
	// CVE and list says, and likelihoods that moved by less than 0.01, are left
	// out; a CVE that left a list is not noticed.
	AppendSignals(ctx context.Context, known estate.Time, kev []estate.Exploited, epss []estate.Likelihood) (estate.Change, error)

	// AppendVersions stores minted application versions; an existing
	// (application, hash) is left out, and a number that another set has is
	// refused with fault.Conflict.
	AppendVersions(ctx context.Context, vs []estate.AppVersionRow) (estate.Change, error)

	// Load yields everything known at the given time in feed order, in chunks,
	// with the newest revision by then of each advisory record whose package
	// name is in use: a package known by then is called so, and a revision of
	// the record, whichever, names it. estate.Forever means now. All of it is
	// one state. A chunk holds whole transactions, its Seq rises, and packages
	// and subjects come no later than what refers to them. yield may call the
	// ledger.
	Load(ctx context.Context, known estate.Time, yield func(estate.Change) error) error

	// Advisories returns the newest revision by known of every record of which
	// a revision names one of the packages, ordered by id. Ecosystems are
	// without suffix; names are folded.
	Advisories(ctx context.Context, names []estate.PackageName, known estate.Time) ([]estate.AdvisoryRow, error)

	// Record returns the newest revision by known of one advisory record, with Raw; fault.NotFound when there is none.
	Record(ctx context.Context, id string, known estate.Time) (estate.AdvisoryRow, error)

	// Named returns the newest revision by known of every record that carries the
	// id as its own, as an alias, or in related or upstream, ordered by id.
	Named(ctx context.Context, id string, known estate.Time) ([]estate.AdvisoryRow, error)

	// Records yields the newest revision of every record that names a package of
	// the ecosystem (without suffix), as received.
	Records(ctx context.Context, ecosystem string) iter.Seq2[[]byte, error]

	// Evidence returns a stored document; fault.NotFound when there is none,
	// or when retention has dropped its body.
	Evidence(ctx context.Context, sha256 string) (Evidence, error)

	// Shape returns the dependency graph of a bill.
	Shape(ctx context.Context, bill estate.BillID) (*estate.Shape, error)

	// Rebuild drops every fact and reads all entries again, in the order in
	// which they became known, in one transaction. read turns stored evidence
	// into facts; it must not write to the ledger, and its error ends the
	// rebuild, which then has changed nothing. Advisory records, signals,
	// minted versions and values are kept, and so are the facts of evidence
	// whose body retention dropped. Whoever follows the feed loads again.
	Rebuild(ctx context.Context, read func(Replayed) ([]Fact, error)) error

	// Get, Put, Delete and List keep small values (tokens, feed states,
	// settings) by bucket and key. Get returns fault.NotFound.
	Get(ctx context.Context, bucket, key string) ([]byte, error)
	Put(ctx context.Context, bucket, key string, value []byte) error
	Delete(ctx context.Context, bucket, key string) error
	List(ctx context.Context, bucket string) (map[string][]byte, error)

	// Ecosystems returns, by ecosystem without suffix, how many advisory records are stored, and the newest modification time among them.
	Ecosystems(ctx context.Context) (map[string]EcosystemStats, error)

	// Retain applies retention: evidence bodies of bills whose document was
	// replaced in its lane, and advisory revisions that were superseded, before
	// the given times are dropped; facts stay, and what was known from those
	// times on is answered as before. Zero times keep everything. It returns
	// what was dropped.
	Retain(ctx context.Context, evidence, revisions estate.Time) (Dropped, error)

	// Close refuses new calls with fault.Unavailable, waits for running ones
	// and closes. Closing again does nothing.
	Close() error
}

// EcosystemStats says what advisory data is stored for an ecosystem.
type EcosystemStats struct {
	Records  int
	Modified estate.Time // newest Modified of a record
}

// Dropped counts what retention removed.
type Dropped struct{ Bodies, Revisions int }
