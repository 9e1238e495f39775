package sqlite

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"

	"thymus/internal/estate"
	"thymus/internal/ledger"
)

// derived are the tables that a rebuild empties, those that refer to others first.
var derived = []string{"change", "shape", "bill", "event", "artifact", "verdict", "description",
	"exploited", "likelihood", "subject", "package", "used", "advisory_package", "ecosystem"}

// Rebuild implements ledger.Ledger. It reads the state before it through a
// connection of its own, so it can drop tables first; a crash leaves that
// state. Writers wait until it ends, and read must not call the ledger's
// writing methods. The facts of entries whose body retention dropped are
// carried over as they were.
func (l *Ledger) Rebuild(ctx context.Context, read func(ledger.Replayed) ([]ledger.Fact, error)) error {
	if err := l.enter(); err != nil {
		return err
	}
	defer l.leave()
	_, err := l.w.submit(ctx, true, func(w *writer) error {
		before, err := l.snapshot(ctx)
		if err != nil {
			return err
		}
		defer before.end()
		r := &rebuild{loader: &loader{snapshot: before, texts: map[string]string{}}, w: w, read: read}
		return r.run(ctx)
	})
	return wrap(err, "rebuild")
}

type rebuild struct {
	*loader // of the state before
	w       *writer
	read    func(ledger.Replayed) ([]ledger.Fact, error)
}

// feedSpan is a feed row that came without a claim.
type feedSpan struct {
	known estate.Time
	kind  kind
	span
}

func (r *rebuild) run(ctx context.Context) error {
	type claim struct{ id, known int64 }
	var claims []claim
	var others []feedSpan
	// The first query fixes the state that the snapshot shows.
	err := r.rows(ctx, rClaims, func(rows *sql.Rows) error {
		var c claim
		err := rows.Scan(&c.id, &c.known)
		claims = append(claims, c)
		return err
	})
	if err == nil {
		err = r.rows(ctx, rOtherChanges, func(rows *sql.Rows) error {
			var known, kind_ int64
			var f feedSpan
			err := rows.Scan(&known, &kind_, &f.first, &f.last)
			f.known, f.kind = estate.Time(known), kind(kind_)
			others = append(others, f)
			return err
		})
	}
	if err != nil {
		return err
	}
	w := r.w
	for _, table := range derived {
		if err := w.exec("DELETE FROM " + table); err != nil {
			return err
		}
	}
	kept := w.counters
	w.counters = counters{known: kept.known, evidence: kept.evidence, claim: kept.claim, advisory: kept.advisory}
	w.caches = &caches{packages: map[key128]estate.PackageID{}, used: map[key128]struct{}{}}
	if err := r.renameRecords(ctx); err != nil {
		return err
	}
	for len(claims) > 0 || len(others) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(claims) == 0 || len(others) > 0 && others[0].known < estate.Time(claims[0].known) {
			n := 1
			for n < len(others) && others[n].known == others[0].known {
				n++
			}
			if err := r.carry(ctx, others[:n]); err != nil {
				return err
			}
			others = others[n:]
		} else {
			if err := r.replay(ctx, claims[0].id, estate.Time(claims[0].known)); err != nil {
				return err
			}
			claims = claims[1:]
		}
		w.change = estate.Change{} // whoever rebuilds loads afterwards
	}
	w.ids[kRevision], w.ids[kAppVersion] = kept.ids[kRevision], kept.ids[kAppVersion]
	w.known = kept.known
	return nil
}

// renameRecords fills the index of advisory names again, since it rests on
// the folding of names, which a newer version may do better.
func (r *rebuild) renameRecords(ctx context.Context) error {
	return r.rows(ctx, rAllRevisions, func(rows *sql.Rows) error {
		var id int64
		var body sql.RawBytes
		if err := rows.Scan(&id, &body); err != nil {
			return err
		}
		a, err := decodeAdvisory(body)
		if err != nil {
			return err
		}
		names, err := r.w.l.namesOf(a)
		if err != nil {
			return err
		}
		before, err := r.w.namesBefore(id)
		if err != nil {
			return err
		}
		return r.w.nameRecord(id, names, before, a.Modified)
	})
}

// carry keeps the rows that became known at one time without a claim.
func (r *rebuild) carry(ctx context.Context, spans []feedSpan) error {
	for _, s := range spans {
		var c estate.Change
		var err error
		switch s.kind {
		case kExploited:
			err = r.rows(ctx, rExploited, func(rows *sql.Rows) error { return scanExploited(rows, &c) }, s.first, s.last)
		case kLikelihood:
			err = r.rows(ctx, rLikelihoods, func(rows *sql.Rows) error { return scanLikelihood(rows, &c) }, s.first, s.last)
		case kRevision, kAppVersion:
			r.w.mark(s.kind, s.first, s.last)
		default:
			err = errDamaged
		}
		for i := 0; err == nil && i < len(c.Exploited); i++ {
			err = r.w.exploited(claimRef{}, c.Exploited[i])
		}
		for i := 0; err == nil && i < len(c.Likelihoods); i++ {
			err = r.w.likelihood(claimRef{}, c.Likelihoods[i])
		}
		if err != nil {
			return err
		}
	}
	return r.w.flush(spans[0].known)
}

// replay reads one claim's evidence again.
func (r *rebuild) replay(ctx context.Context, id int64, known estate.Time) error {
	var evidence int64
	var sha, claim, body []byte
	in := ledger.Replayed{Known: known}
	ref := claimRef{id: id, known: known}
	err := r.row(ctx, rClaimBody, id).Scan(&evidence, &sha, &in.Evidence.Format, &ref.source, &claim, &body)
	if err != nil {
		return err
	}
	in.Evidence.SHA256 = hex.EncodeToString(sha)
	ref.sha = in.Evidence.SHA256
	if in.Claim, err = decodeClaim(claim); err != nil {
		return err
	}
	var facts []ledger.Fact
	if body == nil {
		facts, err = r.retained(ctx, known)
	} else {
		if in.Evidence.Body, err = r.w.l.pack.unpack(body); err != nil {
			return wrap(errors.Join(errDamaged, err), "evidence %s", in.Evidence.SHA256)
		}
		if facts, err = r.read(in); err == nil {
			err = validate(ledger.Entry{Evidence: in.Evidence, Claim: in.Claim, Known: known, Facts: facts})
		}
	}
	if err == nil {
		err = r.w.facts(ref, facts)
	}
	if err != nil {
		return wrap(err, "evidence %s", in.Evidence.SHA256)
	}
	return r.w.flush(known)
}

// retained makes facts of the rows of an entry whose body is gone. What it was
// the first to name is interned in the old order first, so that ids stay.
func (r *rebuild) retained(ctx context.Context, known estate.Time) ([]ledger.Fact, error) {
	var spans [kinds]span
	err := r.rows(ctx, rChangesOf, func(rows *sql.Rows) error {
		var kind_ int64
		var s span
		err := rows.Scan(&kind_, &s.first, &s.last)
		if kind_ <= 0 || kind_ >= int64(kinds) {
			return errDamaged
		}
		spans[kind_] = s
		return err
	}, int64(known))
	if err != nil {
		return nil, err
	}
	c, err := r.chunk(ctx, spans)
	if err != nil {
		return nil, err
	}
	for _, p := range c.Packages {
		if _, err := r.w.intern(p, known); err != nil {
			return nil, err
		}
	}
	for _, s := range c.Subjects {
		if _, err := r.w.subject(s.Subject); err != nil {
			return nil, err
		}
	}
	var facts []ledger.Fact
	for _, b := range c.Bills {
		bill, err := r.oldBill(ctx, b)
		if err != nil {
			return nil, err
		}
		facts = append(facts, ledger.Fact{Bill: bill})
	}
	for _, e := range c.Events {
		subject, err := r.oldSubject(ctx, e.Subject)
		if err != nil {
			return nil, err
		}
		facts = append(facts, ledger.Fact{Event: &ledger.NewEvent{Subject: subject, Environment: e.Environment,
			Removed: e.Removed, Alongside: e.Alongside, Config: e.Config, Replicas: e.Replicas, At: e.At,
			Batch: int(e.Batch), Complete: e.Complete}})
	}
	for _, a := range c.Artifacts {
		subject, err := r.oldSubject(ctx, a.Subject)
		if err != nil {
			return nil, err
		}
		facts = append(facts, ledger.Fact{Artifact: &ledger.NewArtifact{Subject: subject, Purl: a.Purl, At: a.At}})
	}
	for i := range c.Verdicts {
		facts = append(facts, ledger.Fact{Verdict: &c.Verdicts[i].Verdict})
	}
	for i := range c.Exploited {
		facts = append(facts, ledger.Fact{Exploited: &c.Exploited[i]})
	}
	for i := range c.Likelihoods {
		facts = append(facts, ledger.Fact{Likelihood: &c.Likelihoods[i]})
	}
	for i := range c.Descriptions {
		facts = append(facts, ledger.Fact{Description: &c.Descriptions[i].Description})
	}
	return facts, nil
}

func (r *rebuild) oldSubject(ctx context.Context, id estate.SubjectID) (estate.Subject, error) {
	var c estate.Change
	err := r.rows(ctx, rSubjects, func(rows *sql.Rows) error { return r.scanSubject(rows, &c) }, int64(id), int64(id))
	if err == nil && len(c.Subjects) != 1 {
		err = errDamaged
	}
	if err != nil {
		return estate.Subject{}, wrap(err, "subject %d", id)
	}
	return c.Subjects[0].Subject, nil
}

func (r *rebuild) oldBill(ctx context.Context, b estate.BillRow) (*ledger.NewBill, error) {
	subject, err := r.oldSubject(ctx, b.Subject)
	if err != nil {
		return nil, err
	}
	var packages, body []byte
	if err := r.row(ctx, rShape, int64(b.ID)).Scan(&packages, &body); err != nil {
		return nil, wrap(err, "bill %d", b.ID)
	}
	shape, err := shapeOf(packages, body)
	if err != nil {
		return nil, wrap(err, "shape of bill %d", b.ID)
	}
	old := map[estate.PackageID]estate.Package{}
	for _, id := range b.Packages {
		var c estate.Change
		if err := r.rows(ctx, rPackages, func(rows *sql.Rows) error { return r.scanPackage(rows, &c) }, int64(id), int64(id)); err != nil {
			return nil, err
		}
		if len(c.Packages) != 1 {
			return nil, wrap(errDamaged, "package %d", id)
		}
		old[id] = c.Packages[0]
	}
	out := &ledger.NewBill{Subject: subject, Format: b.Format, Generator: b.Generator, Serial: b.Serial, Made: b.Made, At: b.At,
		Partial: b.Partial, Depends: shape.Depends, Direct: shape.Direct, Reported: b.Reported, Notes: b.Notes}
	for _, id := range shape.Order {
		out.Packages = append(out.Packages, old[id])
	}
	return out, nil
}
