package sqlite

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/ledger"
)

// Append implements ledger.Ledger.
func (l *Ledger) Append(ctx context.Context, e ledger.Entry) (ledger.Outcome, error) {
	if err := l.enter(); err != nil {
		return ledger.Outcome{}, err
	}
	defer l.leave()
	p, err := l.prepareEntry(ctx, e)
	if err != nil {
		return ledger.Outcome{}, err
	}
	var out ledger.Outcome
	change, err := l.w.submit(ctx, false, func(w *writer) (err error) {
		out, err = w.append(p)
		return err
	})
	if err != nil {
		return ledger.Outcome{}, wrap(err, "entry %s", e.Evidence.SHA256)
	}
	out.Change = change
	return out, nil
}

// prepared is an entry with everything done that needs no writer.
type prepared struct {
	ledger.Entry
	sha, hash []byte
	claim     string
	body      []byte // compressed; nil when the ledger had it already
}

func (l *Ledger) prepareEntry(ctx context.Context, e ledger.Entry) (*prepared, error) {
	if err := validate(e); err != nil {
		return nil, err
	}
	p := &prepared{Entry: e}
	var err error
	if p.sha, err = hex.DecodeString(e.Evidence.SHA256); err != nil || len(p.sha) != 32 {
		return nil, fault.New(fault.Invalid, "evidence: %q is no SHA-256", e.Evidence.SHA256)
	}
	claim, err := encodeClaim(e.Claim)
	if err != nil {
		return nil, wrap(err, "claim of evidence %s", e.Evidence.SHA256)
	}
	p.claim, p.hash = string(claim), claimHash(p.sha, claim)
	var has int
	err = l.rs[rHasBody].QueryRowContext(ctx, p.sha).Scan(&has)
	switch {
	case noRow(err):
		p.body = l.pack.pack(e.Evidence.Body)
	case err != nil:
		return nil, wrap(err, "evidence %s", e.Evidence.SHA256)
	}
	return p, nil
}

// append stores an entry within the running operation.
func (w *writer) append(p *prepared) (ledger.Outcome, error) {
	var before int64
	known, err := w.find(wClaimByHash, []any{p.hash}, &before)
	if err != nil {
		return ledger.Outcome{}, err
	}
	if known && p.Lane != "" {
		var one int
		replaced, err := w.find(wClaimInLane, []any{p.Lane, before}, &one)
		if err != nil {
			return ledger.Outcome{}, err
		}
		known = !replaced
	}
	if known {
		return ledger.Outcome{Duplicate: true, Known: estate.Time(before)}, nil
	}
	evidence, err := w.evidenceRow(p)
	if err != nil {
		return ledger.Outcome{}, err
	}
	w.claim++
	c := claimRef{id: w.claim, known: w.tick(p.Known), source: p.Claim.Source, sha: p.Evidence.SHA256}
	if err := w.run1(wAddClaim, c.id, evidence, p.Evidence.Format, c.source, int64(c.known), p.Lane, p.hash, p.claim); err != nil {
		return ledger.Outcome{}, err
	}
	if err := w.facts(c, p.Facts); err != nil {
		return ledger.Outcome{}, err
	}
	return ledger.Outcome{Known: c.known}, w.flush(c.known)
}

// evidenceRow stores the document unless it is there, and returns its row.
func (w *writer) evidenceRow(p *prepared) (int64, error) {
	var id int64
	found, err := w.find(wEvidenceBySHA, []any{p.sha}, &id)
	if err != nil {
		return 0, err
	}
	if found {
		var one int
		if has, err := w.find(wBodyOf, []any{id}, &one); has || err != nil {
			return id, err
		}
	} else {
		w.evidence++
		id = w.evidence
		if err := w.run1(wAddEvidence, id, p.sha, len(p.Evidence.Body)); err != nil {
			return 0, err
		}
	}
	if p.body == nil { // it was there a moment ago, and retention came between
		p.body = w.l.pack.pack(p.Evidence.Body)
	}
	return id, w.run1(wAddBody, id, p.body)
}

// claimRef is what rows take from their claim. A blank one (id 0) belongs to
// signals that came without evidence.
type claimRef struct {
	id     int64
	known  estate.Time
	source string
	sha    string
}

// when is the time at which a fact is true: the stated one, or the claim's when
// none is stated or the stated one lies in the future.
func (c claimRef) when(t estate.Time) estate.Time {
	if t == 0 {
		return c.known
	}
	return min(t, c.known)
}

// row is the claim's column value.
func (c claimRef) row() any {
	if c.id == 0 {
		return nil
	}
	return c.id
}

// facts stores the facts of a claim and adds their rows to the change.
func (w *writer) facts(c claimRef, facts []ledger.Fact) error {
	batches := map[int]int64{} // a batch's number within the entry to its row's
	for _, f := range facts {
		var err error
		switch {
		case f.Bill != nil:
			err = w.bill(c, f.Bill)
		case f.Event != nil:
			err = w.event(c, f.Event, batches)
		case f.Artifact != nil:
			err = w.artifact(c, f.Artifact)
		case f.Verdict != nil:
			err = w.verdict(c, f.Verdict)
		case f.Description != nil:
			err = w.description(c, f.Description)
		case f.Exploited != nil:
			err = w.exploited(c, *f.Exploited)
		case f.Likelihood != nil:
			err = w.likelihood(c, *f.Likelihood)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// intern returns the id of a package, giving it one when its key is new. The
// first statement of a key holds until the next rebuild.
func (w *writer) intern(p estate.Package, known estate.Time) (estate.PackageID, error) {
	key := w.hash(p.Key)
	if id, ok := w.packages[key]; ok {
		return id, nil
	}
	if err := checkPackage(p); err != nil {
		return 0, err
	}
	p.ID = estate.PackageID(w.number(kPackage))
	if err := w.run1(wAddPackage, int64(p.ID), p.Key, p.Name, p.Version, p.Ecosystem,
		p.Match[0].Name, p.Match[0].Version, p.Match[1].Name, p.Match[1].Version, string(p.Unmatched)); err != nil {
		return 0, err
	}
	w.packages[key] = p.ID
	w.newPackages = append(w.newPackages, key)
	w.change.Packages = append(w.change.Packages, p)
	for _, m := range p.Match {
		n, ok := w.l.nameOf(p.Ecosystem, m.Name)
		if !ok {
			continue
		}
		h := w.hashName(n)
		if _, used := w.used[h]; used {
			continue
		}
		if err := w.run1(wAddUsed, n.Ecosystem, n.Name, int64(known)); err != nil {
			return 0, err
		}
		w.used[h] = struct{}{}
		w.newUsed = append(w.newUsed, h)
	}
	return p.ID, nil
}

// nameOf returns the index key of a name, and false when there is none.
func (l *Ledger) nameOf(ecosystem, name string) (estate.PackageName, bool) {
	base, _, _ := strings.Cut(ecosystem, ":")
	if base == "" || name == "" {
		return estate.PackageName{}, false
	}
	return estate.PackageName{Ecosystem: base, Name: l.fold(base, name)}, true
}

func (w *writer) subject(s estate.Subject) (estate.SubjectID, error) {
	var id int64
	found, err := w.find(wSubject, []any{s.Name, s.Version, s.Namespace, s.Digest, s.Derived}, &id)
	if found || err != nil {
		return estate.SubjectID(id), err
	}
	id = w.number(kSubject)
	if err := w.run1(wAddSubject, id, s.Namespace, s.Name, s.Version, s.Digest, s.Derived); err != nil {
		return 0, err
	}
	w.change.Subjects = append(w.change.Subjects, estate.SubjectRow{ID: estate.SubjectID(id), Subject: s})
	return estate.SubjectID(id), nil
}

func (w *writer) bill(c claimRef, b *ledger.NewBill) error {
	subject, err := w.subject(b.Subject)
	if err != nil {
		return err
	}
	listed := make([]estate.PackageID, len(b.Packages))
	for i := range b.Packages {
		if listed[i], err = w.intern(b.Packages[i], c.known); err != nil {
			return err
		}
	}
	set, place := arrange(listed)
	notes, err := encodeStrings(b.Notes)
	if err != nil {
		return wrap(err, "notes of a bill")
	}
	row := estate.BillRow{ID: estate.BillID(w.number(kBill)), Subject: subject, Evidence: c.sha, Source: c.source,
		Format: b.Format, Generator: b.Generator, Serial: b.Serial, Made: b.Made, At: c.when(b.At), Known: c.known,
		Partial: b.Partial, Packages: set, Listed: len(listed), Reported: b.Reported}
	if row.Notes, err = decodeStrings([]byte(notes)); err != nil {
		return err
	}
	if err := w.run1(wAddBill, int64(row.ID), c.id, int64(subject), b.Format, b.Generator, b.Serial, int64(b.Made), int64(row.At),
		b.Partial, row.Listed, b.Reported, notes, encodePackages(set)); err != nil {
		return err
	}
	if err := w.run1(wAddShape, int64(row.ID), encodeShape(place, b.Depends, b.Direct)); err != nil {
		return err
	}
	w.change.Bills = append(w.change.Bills, row)
	return nil
}

func (w *writer) event(c claimRef, e *ledger.NewEvent, batches map[int]int64) error {
	subject, err := w.subject(e.Subject)
	if err != nil {
		return err
	}
	row := estate.EventRow{ID: w.number(kEvent), Subject: subject, Environment: e.Environment, Source: c.source,
		Removed: e.Removed, Alongside: e.Alongside, Config: e.Config, Replicas: e.Replicas, At: c.when(e.At), Known: c.known,
		Evidence: c.sha, Complete: e.Complete}
	if batches[e.Batch] == 0 {
		batches[e.Batch] = row.ID
	}
	row.Batch = batches[e.Batch]
	w.change.Events = append(w.change.Events, row)
	return w.run1(wAddEvent, row.ID, c.id, int64(subject), e.Environment, e.Removed, e.Alongside, e.Config, e.Replicas,
		int64(row.At), row.Batch, e.Complete)
}

func (w *writer) artifact(c claimRef, a *ledger.NewArtifact) error {
	subject, err := w.subject(a.Subject)
	if err != nil {
		return err
	}
	row := estate.ArtifactRow{ID: w.number(kArtifact), Subject: subject, Source: c.source, Purl: a.Purl, At: c.when(a.At),
		Known: c.known, Evidence: c.sha}
	w.change.Artifacts = append(w.change.Artifacts, row)
	return w.run1(wAddArtifact, row.ID, c.id, int64(subject), a.Purl, int64(row.At))
}

// verdict and description return the row as it reads when it is loaded, so
// that the feed and Load say the same.
func (w *writer) verdict(c claimRef, v *estate.Verdict) error {
	stated := *v
	stated.At = c.when(v.At)
	body, err := encodeVerdict(stated)
	if err != nil {
		return wrap(err, "verdict")
	}
	stored, err := decodeVerdict(body)
	if err != nil {
		return err
	}
	row := estate.VerdictRow{ID: w.number(kVerdict), Known: c.known, Source: c.source, Evidence: c.sha, Verdict: stored}
	w.change.Verdicts = append(w.change.Verdicts, row)
	return w.run1(wAddVerdict, row.ID, c.id, string(body))
}

func (w *writer) description(c claimRef, d *estate.Description) error {
	stated := *d
	stated.Since = c.when(d.Since)
	body, err := encodeDescription(stated)
	if err != nil {
		return wrap(err, "description")
	}
	stored, err := decodeDescription(body)
	if err != nil {
		return err
	}
	row := estate.DescriptionRow{ID: w.number(kDescription), Known: c.known, Source: c.source, Evidence: c.sha, Description: stored}
	w.change.Descriptions = append(w.change.Descriptions, row)
	return w.run1(wAddDescription, row.ID, c.id, string(body))
}

// Evidence implements ledger.Ledger.
func (l *Ledger) Evidence(ctx context.Context, sha256 string) (ledger.Evidence, error) {
	if err := l.enter(); err != nil {
		return ledger.Evidence{}, err
	}
	defer l.leave()
	sha, err := hex.DecodeString(sha256)
	if err != nil {
		return ledger.Evidence{}, fault.New(fault.Invalid, "%q is no SHA-256", sha256)
	}
	out := ledger.Evidence{SHA256: hex.EncodeToString(sha)}
	var body []byte
	err = l.rs[rEvidence].QueryRowContext(ctx, sha).Scan(&out.Format, &body)
	switch {
	case noRow(err):
		return ledger.Evidence{}, fault.New(fault.NotFound, "no evidence %s", sha256)
	case err != nil:
		return ledger.Evidence{}, wrap(err, "evidence %s", sha256)
	case body == nil:
		return ledger.Evidence{}, fault.New(fault.NotFound, "the document %s was replaced, and retention has dropped it", sha256)
	}
	if out.Body, err = l.pack.unpack(body); err != nil {
		return ledger.Evidence{}, wrap(errors.Join(errDamaged, err), "evidence %s", sha256)
	}
	return out, nil
}

// Shape implements ledger.Ledger.
func (l *Ledger) Shape(ctx context.Context, bill estate.BillID) (*estate.Shape, error) {
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.leave()
	var packages, body []byte
	err := l.rs[rShape].QueryRowContext(ctx, int64(bill)).Scan(&packages, &body)
	if noRow(err) {
		return nil, fault.New(fault.NotFound, "no bill %d", bill)
	}
	if err != nil {
		return nil, wrap(err, "bill %d", bill)
	}
	shape, err := shapeOf(packages, body)
	return shape, wrap(err, "shape of bill %d", bill)
}

func shapeOf(packages, body []byte) (*estate.Shape, error) {
	set, err := decodePackages(packages)
	if err != nil {
		return nil, err
	}
	return decodeShape(body, set)
}
