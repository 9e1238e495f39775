package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"sync"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/ledger"
	"thymus/internal/purl"
	"thymus/internal/read"
	"thymus/internal/read/osv"
	"thymus/internal/read/sbom"
	"thymus/internal/read/verdict"
	"thymus/internal/read/wrap"
	"thymus/internal/redact"
	"thymus/internal/version"
)

// Receipt is the answer to an ingest: nothing of it can be lost any more.
type Receipt struct {
	Evidence    string                   `json:"evidence"` // SHA-256, hex, of the bytes received
	Format      string                   `json:"format"`
	Duplicate   bool                     `json:"duplicate,omitempty"`
	Known       estate.Time              `json:"known"`
	Release     string                   `json:"release,omitempty"` // "[namespace/]name@version" of an SBOM
	Packages    int                      `json:"packages,omitempty"`
	Unmatched   map[estate.Unmatched]int `json:"unmatched,omitempty"`
	Deployments int                      `json:"deployments,omitempty"`
	Verdicts    int                      `json:"verdicts,omitempty"`
	Advisories  int                      `json:"advisories,omitempty"`
	Signals     int                      `json:"signals,omitempty"`  // rows of KEV and EPSS
	Redacted    int                      `json:"redacted,omitempty"` // secrets overwritten before storage
	Notes       []string                 `json:"notes,omitempty"`
	Opened      int                      `json:"opened"` // exposures that this opened
	Closed      int                      `json:"closed"`
}

// RecordsReport says what became of a batch of advisory records.
type RecordsReport struct {
	Read, Changed, Refused int
	Refusals               []string // at most 20
	Opened, Closed         int
}

// Ingest runs the main path for one document. It returns when the document is
// durable and indexed. Errors name the place in the document; nothing of a
// refused document is stored.
func (e *Engine) Ingest(ctx context.Context, body []byte, c estate.Claim) (*Receipt, error) {
	if _, err := e.current(); err != nil {
		return nil, err
	}
	if len(body) > read.MaxDocument {
		return nil, fault.New(fault.TooLarge, "the document has %d bytes; the limit is %d", len(body), read.MaxDocument)
	}
	sum := sha256.Sum256(body)
	stored, redacted, err := clean(body)
	if err != nil {
		return nil, err
	}
	now := e.now()
	receipt := &Receipt{Evidence: hex.EncodeToString(sum[:]), Known: now, Redacted: redacted}
	facts, d, err := e.facts(ctx, stored, c)
	if err != nil {
		return nil, err
	}
	receipt.Format, receipt.Notes = d.format, d.notes
	count(receipt, facts, d)
	var seq int64
	switch {
	case len(d.advisories) > 0:
		report, err := e.IngestRecords(ctx, c.Source, rawRecords(d.advisories))
		if err != nil {
			return nil, err
		}
		receipt.Opened, receipt.Closed = report.Opened, report.Closed
		receipt.Duplicate = report.Changed == 0
		return receipt, nil
	case receipt.Signals > 0:
		kev, epss := signals(facts)
		change, err := e.ledger.AppendSignals(ctx, now, kev, epss)
		if err != nil {
			return nil, err
		}
		receipt.Duplicate = change.Seq == 0
		return receipt, nil
	default:
		out, err := e.ledger.Append(ctx, ledger.Entry{
			Evidence: ledger.Evidence{SHA256: receipt.Evidence, Format: d.format, Body: stored},
			Claim:    c, Lane: d.lane, Known: now, Facts: facts,
		})
		if err != nil {
			return nil, err
		}
		receipt.Duplicate, receipt.Known, seq = out.Duplicate, out.Known, out.Change.Seq
	}
	receipt.Opened, receipt.Closed = e.hub.counted(seq)
	if !receipt.Duplicate {
		e.hub.ingested(seq, receipt)
	}
	return receipt, nil
}

// clean returns what is stored of a document: the bytes received, unless a
// secret lies in them; then the unwrapped document with the secret overwritten.
func clean(body []byte) (stored []byte, redacted int, err error) {
	w, err := wrap.Unwrap(body)
	if err != nil {
		return nil, 0, err
	}
	out, found := redact.Bytes(w.Body)
	if len(found) == 0 {
		return body, 0, nil
	}
	return out, len(found), nil
}

// document is what facts are read from.
type document struct {
	format, lane string
	release      string
	unmatched    map[estate.Unmatched]int
	packages     int
	notes        []string
	advisories   []*estate.Advisory
}

// facts reads stored bytes into facts that the ledger takes. Rebuild calls it too,
// so it depends on nothing but its arguments.
func (e *Engine) facts(ctx context.Context, stored []byte, c estate.Claim) ([]ledger.Fact, document, error) {
	var d document
	w, err := wrap.Unwrap(stored)
	if err != nil {
		return nil, d, err
	}
	if c.Subject.Digest == "" && len(w.Subjects) == 1 {
		c.Subject.Digest = w.Subjects[0].Digest
	}
	r, err := e.detect(w.Body, c.Headers)
	if err != nil {
		return nil, d, err
	}
	d.format = r.Name()
	// Zero, and what lies in the future, becomes the time of receipt in the ledger.
	at := c.At
	stated := func(t estate.Time) estate.Time {
		if t == 0 {
			return at
		}
		return t
	}
	var out []ledger.Fact
	batch := 0
	for f, err := range r.Read(ctx, read.Input{Body: w.Body, Claim: c}) {
		if err != nil {
			return nil, d, err
		}
		switch f := f.(type) {
		case *estate.Bill:
			bill, err := d.bill(f, c, at)
			if err != nil {
				return nil, d, err
			}
			out = append(out, ledger.Fact{Bill: bill})
		case *estate.Deployments:
			batch++
			env := f.Environment
			if env == "" {
				env = c.Environment
			}
			if env == "" {
				return nil, d, fault.New(fault.Invalid, "%s: no environment: neither the document nor the sender names one", d.format)
			}
			d.lane = "deploy|" + env
			for _, i := range f.Items {
				sub := i.Subject
				if len(f.Items) == 1 {
					sub = sbom.Claimed(sub, c.Subject)
				}
				out = append(out, ledger.Fact{Event: &ledger.NewEvent{
					Subject: sub, Environment: env, Removed: i.Removed, Alongside: i.Alongside || c.Alongside,
					Config: i.Config, Replicas: i.Replicas, At: stated(f.At), Batch: batch, Complete: f.Complete,
				}})
			}
			if f.Complete && len(f.Items) == 0 {
				out = append(out, ledger.Fact{Event: &ledger.NewEvent{Environment: env, Removed: true, At: stated(f.At), Batch: batch, Complete: true}})
			}
		case *estate.Packaged:
			out = append(out, ledger.Fact{Artifact: &ledger.NewArtifact{Subject: sbom.Claimed(f.Subject, c.Subject), Purl: f.Purl, At: stated(f.At)}})
		case *estate.Verdict:
			v := *f
			v.At = stated(v.At)
			out = append(out, ledger.Fact{Verdict: &v})
		case *estate.Exploited:
			out = append(out, ledger.Fact{Exploited: f})
		case *estate.Likelihood:
			out = append(out, ledger.Fact{Likelihood: f})
		case *estate.Description:
			v := *f
			v.Since = stated(v.Since)
			d.lane = "description|" + c.Source
			out = append(out, ledger.Fact{Description: &v})
		case *estate.Advisory:
			d.advisories = append(d.advisories, f)
		default:
			return nil, d, fault.New(fault.Internal, "%s: fact of type %T", d.format, f)
		}
	}
	if c.Deploy {
		if c.Environment == "" {
			return nil, d, fault.New(fault.Usage, "deploying needs an environment")
		}
		deployed := false
		for _, f := range out {
			if f.Bill != nil {
				out = append(out, ledger.Fact{Event: &ledger.NewEvent{
					Subject: f.Bill.Subject, Environment: c.Environment, Alongside: c.Alongside, At: at, Batch: batch + 1,
				}})
				d.lane, deployed = "deploy|"+c.Environment, true
				break
			}
		}
		if !deployed {
			return nil, d, fault.New(fault.Usage, "a %s document describes no release that could be deployed", d.format)
		}
	}
	return out, d, nil
}

// detect finds the reader of a document.
func (e *Engine) detect(body []byte, headers map[string]string) (read.Reader, error) {
	head := body
	if len(head) > read.HeadSize {
		head = head[:read.HeadSize]
	}
	for _, r := range e.readers {
		if r.Detect(head, headers) {
			return r, nil
		}
	}
	if len(strings.TrimSpace(string(head))) == 0 {
		return nil, fault.New(fault.Invalid, "the document is empty")
	}
	var names []string
	for _, r := range e.readers {
		names = append(names, r.Name())
	}
	return nil, fault.New(fault.Unsupported, "no reader knows this document; the formats are %s", strings.Join(names, ", "))
}

// bill identifies the packages of a bill and names its release.
func (d *document) bill(f *estate.Bill, c estate.Claim, at estate.Time) (*ledger.NewBill, error) {
	sub := sbom.Claimed(f.Subject, c.Subject)
	if sub.Name == "" && sub.Digest == "" {
		return nil, fault.New(fault.Invalid, "%s: the SBOM names no service; say which with --service (or ?service=)", f.Format)
	}
	if sub.Version == "" && sub.Digest == "" {
		return nil, fault.New(fault.Invalid, "%s: the SBOM of %s names no version; say which with --version (or ?version=)", f.Format, sub.Service())
	}
	b := &ledger.NewBill{
		Subject: sub, Format: f.Format, Generator: f.Generator, Serial: f.Serial, Made: f.Made, At: at, Partial: f.Partial,
		Packages: make([]estate.Package, len(f.Packages)), Depends: f.Depends, Direct: f.Direct,
		Reported: len(f.Reported), Notes: f.Notes,
	}
	d.unmatched = map[estate.Unmatched]int{}
	for i := range f.Packages {
		b.Packages[i] = purl.Identify(f.Packages[i])
		if u := b.Packages[i].Unmatched; u != "" {
			d.unmatched[u]++
		}
	}
	d.packages, d.release, d.notes = len(f.Packages), sub.String(), f.Notes
	d.lane = fmt.Sprintf("bill|%s|%s|%s", sub, sub.Digest, f.Generator)
	return b, nil
}

func count(r *Receipt, facts []ledger.Fact, d document) {
	r.Release, r.Packages, r.Unmatched, r.Advisories = d.release, d.packages, d.unmatched, len(d.advisories)
	for _, f := range facts {
		switch {
		case f.Event != nil:
			r.Deployments++
		case f.Verdict != nil:
			r.Verdicts++
		case f.Exploited != nil, f.Likelihood != nil:
			r.Signals++
		}
	}
}

func signals(facts []ledger.Fact) (kev []estate.Exploited, epss []estate.Likelihood) {
	for _, f := range facts {
		if f.Exploited != nil {
			kev = append(kev, *f.Exploited)
		}
		if f.Likelihood != nil {
			epss = append(epss, *f.Likelihood)
		}
	}
	return kev, epss
}

func rawRecords(as []*estate.Advisory) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, a := range as {
			if !yield(a.Raw, nil) {
				return
			}
		}
	}
}

// recordBatch is how many advisory records share a transaction.
const recordBatch = 2000

// IngestRecords stores OSV records in bulk: raw JSON documents, one record
// each. A malformed record is refused and reported; the others are stored. An
// error yielded by records ends the work; what was stored before it stays.
func (e *Engine) IngestRecords(ctx context.Context, source string, records iter.Seq2[[]byte, error]) (*RecordsReport, error) {
	if _, err := e.current(); err != nil {
		return nil, err
	}
	report := &RecordsReport{}
	var batch [][]byte
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		rows := make([]ledger.Record, len(batch))
		errs := make([]error, len(batch))
		known := e.now()
		var wg sync.WaitGroup
		const workers = 2
		for w := range workers {
			wg.Go(func() {
				for i := w; i < len(batch); i += workers {
					rows[i], errs[i] = record(batch[i], source, known)
				}
			})
		}
		wg.Wait()
		good := rows[:0]
		for i := range rows {
			if errs[i] != nil {
				report.Refused++
				if len(report.Refusals) < 20 {
					report.Refusals = append(report.Refusals, errs[i].Error())
				}
				continue
			}
			good = append(good, rows[i])
		}
		batch = batch[:0]
		change, err := e.ledger.AppendRecords(ctx, good)
		if err != nil {
			return err
		}
		report.Changed += change.Records
		opened, closed := e.hub.counted(change.Seq)
		report.Opened += opened
		report.Closed += closed
		return nil
	}
	for raw, err := range records {
		if err != nil {
			return report, err
		}
		report.Read++
		batch = append(batch, raw)
		if len(batch) >= recordBatch {
			if err := flush(); err != nil {
				return report, err
			}
		}
	}
	return report, flush()
}

// record decodes one record and cuts its enumerated versions down to those that
// no range covers.
func record(raw []byte, source string, known estate.Time) (ledger.Record, error) {
	a, err := osv.Decode(raw)
	if err != nil {
		return ledger.Record{}, err
	}
	for i := range a.Affected {
		af := &a.Affected[i]
		if eco := version.ParseEcosystem(af.Ecosystem); eco.Ordered() {
			af.Versions = version.Compile(eco, *af).Listed
		}
	}
	return ledger.Record{Advisory: *a, Source: source, Known: known}, nil
}

// Decide stores a verdict made by a person, as evidence.
func (e *Engine) Decide(ctx context.Context, d verdict.Document, source string) (*Receipt, error) {
	d.Thymus = verdict.Format
	if _, err := d.Verdict(); err != nil {
		return nil, err
	}
	if d.At == 0 {
		d.At = e.now() // two equal decisions at two times are two decisions
	}
	body, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("verdict on %s: %w", d.Advisory, err)
	}
	return e.Ingest(ctx, body, estate.Claim{Source: source})
}
