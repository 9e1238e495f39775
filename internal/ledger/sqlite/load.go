package sqlite

import (
	"context"
	"database/sql"
	"encoding/hex"
	"slices"

	"thymus/internal/estate"
)

const (
	chunkRows = 4096 // rows of a chunk, about; a transaction is never split
	feedPage  = 8192 // feed rows read at once
)

// span is a range of row ids.
type span struct{ first, last int64 }

// loader streams one state of the ledger.
type loader struct {
	*snapshot
	texts     map[string]string // one copy of strings that recur
	revisions []int64           // of advisories to yield that are left, rising
}

// Load implements ledger.Ledger. Chunks follow the feed; each holds whole
// transactions. All of it is one state of the ledger, whatever is written
// meanwhile, and an error of yield ends it.
func (l *Ledger) Load(ctx context.Context, known estate.Time, yield func(estate.Change) error) error {
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	s, err := l.snapshot(ctx)
	if err != nil {
		return err
	}
	defer s.end()
	ld := &loader{snapshot: s, texts: map[string]string{}}
	return wrap(ld.load(ctx, known, yield), "loading the ledger")
}

func (ld *loader) load(ctx context.Context, known estate.Time, yield func(estate.Change) error) error {
	var top int64
	if err := ld.row(ctx, rTop, int64(known)).Scan(&top); noRow(err) {
		return nil
	} else if err != nil {
		return err
	}
	err := ld.rows(ctx, rUsedRevisions, func(r *sql.Rows) error {
		var id int64
		err := r.Scan(&id)
		ld.revisions = append(ld.revisions, id)
		return err
	}, int64(known))
	if err != nil {
		return err
	}
	slices.Sort(ld.revisions)

	var spans [kinds]span
	var weight, seq, last int64 // of the chunk; last is when its newest row became known
	emit := func() error {
		c, err := ld.chunk(ctx, spans)
		if err != nil {
			return err
		}
		c.Seq = seq
		spans, weight = [kinds]span{}, 0
		return yield(c)
	}
	type feedRow struct{ seq, known, kind, first, last int64 }
	for page := make([]feedRow, 0, feedPage); seq < top; page = page[:0] {
		err := ld.rows(ctx, rChanges, func(r *sql.Rows) error {
			var f feedRow
			err := r.Scan(&f.seq, &f.known, &f.kind, &f.first, &f.last)
			page = append(page, f)
			return err
		}, seq, top, feedPage)
		if err != nil {
			return err
		}
		for _, f := range page {
			if weight >= chunkRows && f.known != last {
				if err := emit(); err != nil {
					return err
				}
			}
			if f.kind <= 0 || f.kind >= int64(kinds) {
				return errDamaged
			}
			if spans[f.kind].first == 0 {
				spans[f.kind].first = f.first
			}
			spans[f.kind].last = f.last
			weight += f.last - f.first + 1
			seq, last = f.seq, f.known
		}
		if len(page) == 0 {
			return errDamaged
		}
	}
	return emit()
}

// text returns a string that shares its bytes with equal ones: sources,
// formats and environments recur in every row.
func (ld *loader) text(b sql.RawBytes) string {
	if s, ok := ld.texts[string(b)]; ok {
		return s
	}
	s := string(b)
	ld.texts[s] = s
	return s
}

// chunk reads the rows of the spans.
func (ld *loader) chunk(ctx context.Context, spans [kinds]span) (c estate.Change, err error) {
	read := func(k kind, n int, each func(*sql.Rows) error) {
		if err != nil || spans[k].first == 0 {
			return
		}
		err = wrap(ld.rows(ctx, n, each, spans[k].first, spans[k].last), "table %s", tableOf[k])
	}
	read(kPackage, rPackages, func(r *sql.Rows) error { return ld.scanPackage(r, &c) })
	read(kSubject, rSubjects, func(r *sql.Rows) error { return ld.scanSubject(r, &c) })
	read(kBill, rBills, func(r *sql.Rows) error { return ld.scanBill(r, &c) })
	read(kEvent, rEvents, func(r *sql.Rows) error { return ld.scanEvent(r, &c) })
	read(kArtifact, rArtifacts, func(r *sql.Rows) error { return ld.scanArtifact(r, &c) })
	read(kVerdict, rVerdicts, func(r *sql.Rows) error { return ld.scanVerdict(r, &c) })
	read(kExploited, rExploited, func(r *sql.Rows) error { return scanExploited(r, &c) })
	read(kLikelihood, rLikelihoods, func(r *sql.Rows) error { return scanLikelihood(r, &c) })
	read(kDescription, rDescriptions, func(r *sql.Rows) error { return ld.scanDescription(r, &c) })
	read(kAppVersion, rAppVersions, func(r *sql.Rows) error { return ld.scanAppVersion(r, &c) })
	for err == nil && len(ld.revisions) > 0 && ld.revisions[0] <= spans[kRevision].last {
		var row estate.AdvisoryRow
		if row, err = scanAdvisory(ld.row(ctx, rRevision, ld.revisions[0])); err != nil {
			err = wrap(err, "table %s", tableOf[kRevision])
		}
		c.Advisories = append(c.Advisories, row)
		ld.revisions = ld.revisions[1:]
	}
	return c, err
}

func (ld *loader) scanPackage(r *sql.Rows, c *estate.Change) error {
	var id int64
	var p estate.Package
	var ecosystem, unmatched sql.RawBytes
	if err := r.Scan(&id, &p.Key, &p.Name, &p.Version, &ecosystem, &p.Match[0].Name, &p.Match[0].Version,
		&p.Match[1].Name, &p.Match[1].Version, &unmatched); err != nil {
		return err
	}
	p.ID, p.Ecosystem, p.Unmatched = estate.PackageID(id), ld.text(ecosystem), estate.Unmatched(ld.text(unmatched))
	c.Packages = append(c.Packages, p)
	return nil
}

func (ld *loader) scanSubject(r *sql.Rows, c *estate.Change) error {
	var id int64
	var s estate.SubjectRow
	var namespace, name sql.RawBytes
	if err := r.Scan(&id, &namespace, &name, &s.Version, &s.Digest, &s.Derived); err != nil {
		return err
	}
	s.ID, s.Namespace, s.Name = estate.SubjectID(id), ld.text(namespace), ld.text(name)
	c.Subjects = append(c.Subjects, s)
	return nil
}

func (ld *loader) scanBill(r *sql.Rows, c *estate.Change) error {
	var id, subject, made, at, known int64
	var b estate.BillRow
	var sha, source, format, generator, packages, notes sql.RawBytes
	err := r.Scan(&id, &subject, &sha, &source, &format, &generator, &b.Serial, &made, &at, &known, &b.Partial,
		&packages, &b.Listed, &b.Reported, &notes)
	if err != nil {
		return err
	}
	b.ID, b.Subject, b.Evidence = estate.BillID(id), estate.SubjectID(subject), hex.EncodeToString(sha)
	b.Source, b.Format, b.Generator = ld.text(source), ld.text(format), ld.text(generator)
	b.Made, b.At, b.Known = estate.Time(made), estate.Time(at), estate.Time(known)
	if b.Packages, err = decodePackages(packages); err != nil {
		return wrap(err, "bill %d", id)
	}
	if b.Notes, err = decodeStrings(notes); err != nil {
		return wrap(err, "bill %d", id)
	}
	c.Bills = append(c.Bills, b)
	return nil
}

func (ld *loader) scanEvent(r *sql.Rows, c *estate.Change) error {
	var subject, at, known int64
	var e estate.EventRow
	var environment, source, sha sql.RawBytes
	if err := r.Scan(&e.ID, &subject, &environment, &source, &e.Removed, &e.Alongside, &e.Config, &e.Replicas, &at, &known,
		&sha, &e.Batch, &e.Complete); err != nil {
		return err
	}
	e.Subject, e.Environment, e.Source = estate.SubjectID(subject), ld.text(environment), ld.text(source)
	e.At, e.Known, e.Evidence = estate.Time(at), estate.Time(known), hex.EncodeToString(sha)
	c.Events = append(c.Events, e)
	return nil
}

func (ld *loader) scanArtifact(r *sql.Rows, c *estate.Change) error {
	var subject, at, known int64
	var a estate.ArtifactRow
	var source, sha sql.RawBytes
	if err := r.Scan(&a.ID, &subject, &source, &a.Purl, &at, &known, &sha); err != nil {
		return err
	}
	a.Subject, a.Source, a.Evidence = estate.SubjectID(subject), ld.text(source), hex.EncodeToString(sha)
	a.At, a.Known = estate.Time(at), estate.Time(known)
	c.Artifacts = append(c.Artifacts, a)
	return nil
}

func (ld *loader) scanVerdict(r *sql.Rows, c *estate.Change) error {
	var known int64
	var v estate.VerdictRow
	var source, sha, body sql.RawBytes
	err := r.Scan(&v.ID, &known, &source, &sha, &body)
	if err != nil {
		return err
	}
	v.Known, v.Source, v.Evidence = estate.Time(known), ld.text(source), hex.EncodeToString(sha)
	if v.Verdict, err = decodeVerdict(body); err != nil {
		return err
	}
	c.Verdicts = append(c.Verdicts, v)
	return nil
}

func (ld *loader) scanDescription(r *sql.Rows, c *estate.Change) error {
	var known int64
	var d estate.DescriptionRow
	var source, sha, body sql.RawBytes
	err := r.Scan(&d.ID, &known, &source, &sha, &body)
	if err != nil {
		return err
	}
	d.Known, d.Source, d.Evidence = estate.Time(known), ld.text(source), hex.EncodeToString(sha)
	if d.Description, err = decodeDescription(body); err != nil {
		return err
	}
	c.Descriptions = append(c.Descriptions, d)
	return nil
}

func scanExploited(r *sql.Rows, c *estate.Change) error {
	var added, due int64
	var x estate.Exploited
	err := r.Scan(&x.CVE, &x.List, &added, &due, &x.Ransomware, &x.Note)
	x.Added, x.Due = estate.Time(added), estate.Time(due)
	c.Exploited = append(c.Exploited, x)
	return err
}

func scanLikelihood(r *sql.Rows, c *estate.Change) error {
	var at int64
	var x estate.Likelihood
	err := r.Scan(&x.CVE, &x.Score, &x.Percentile, &at)
	x.At = estate.Time(at)
	c.Likelihoods = append(c.Likelihoods, x)
	return err
}

func (ld *loader) scanAppVersion(r *sql.Rows, c *estate.Change) error {
	var at, known int64
	var v estate.AppVersionRow
	var application, environment sql.RawBytes
	var members []byte
	err := r.Scan(&application, &v.Number, &v.Hash, &environment, &at, &known, &members)
	if err != nil {
		return err
	}
	v.Application, v.Environment, v.At, v.Known = ld.text(application), ld.text(environment), estate.Time(at), estate.Time(known)
	if v.Members, err = decodeMembers(members); err != nil {
		return err
	}
	c.AppVersions = append(c.AppVersions, v)
	return nil
}
