package sqlite

import (
	"database/sql"
	"errors"
	"math"
	"strings"
	"unicode/utf8"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/ledger"
)

func noRow(err error) bool { return errors.Is(err, sql.ErrNoRows) }

// validate refuses an entry that could not be stored or given back as it is.
// Text must be UTF-8 without NUL, since not every ledger can keep other text.
// Packages are checked when they are first interned.
func validate(e ledger.Entry) error {
	if e.Known <= 0 || e.Known == estate.Forever {
		return fault.New(fault.Invalid, "entry %s: the time at which it became known is not stated", e.Evidence.SHA256)
	}
	if err := checkText("entry", e.Evidence.Format, e.Lane, e.Claim.Source); err != nil {
		return err
	}
	for i, f := range e.Facts {
		if err := checkFact(f); err != nil {
			return wrap(err, "fact %d of entry %s", i, e.Evidence.SHA256)
		}
	}
	return nil
}

func checkFact(f ledger.Fact) error {
	set := 0
	for _, is := range []bool{f.Bill != nil, f.Event != nil, f.Artifact != nil, f.Verdict != nil,
		f.Exploited != nil, f.Likelihood != nil, f.Description != nil} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		return fault.New(fault.Invalid, "%d kinds of fact are set; want one", set)
	case f.Bill != nil:
		return checkBill(f.Bill)
	case f.Event != nil:
		if f.Event.Replicas < 0 {
			return fault.New(fault.Invalid, "event: %d replicas", f.Event.Replicas)
		}
		return errors.Join(checkSubject(f.Event.Subject), checkText("event", f.Event.Environment, f.Event.Config))
	case f.Artifact != nil:
		return errors.Join(checkSubject(f.Artifact.Subject), checkText("artifact", f.Artifact.Purl))
	case f.Verdict != nil:
		if f.Verdict.Advisory == "" || f.Verdict.Status == "" {
			return fault.New(fault.Invalid, "verdict: the advisory or the status is not stated")
		}
	case f.Exploited != nil:
		return checkExploited(*f.Exploited)
	case f.Likelihood != nil:
		return checkLikelihood(*f.Likelihood)
	}
	return nil
}

func checkBill(b *ledger.NewBill) error {
	n := int32(len(b.Packages))
	if len(b.Packages) > math.MaxInt32 || b.Reported < 0 {
		return fault.New(fault.Invalid, "bill: %d packages, %d reported", len(b.Packages), b.Reported)
	}
	if len(b.Depends) > 0 && len(b.Depends) != len(b.Packages) {
		return fault.New(fault.Invalid, "bill: the graph has %d entries for %d packages", len(b.Depends), n)
	}
	inside := func(list []int32) error {
		for _, i := range list {
			if i < 0 || i >= n {
				return fault.New(fault.Invalid, "bill: the graph refers to package %d of %d", i, n)
			}
		}
		return nil
	}
	for _, list := range b.Depends {
		if err := inside(list); err != nil {
			return err
		}
	}
	if err := inside(b.Direct); err != nil {
		return err
	}
	for i := range b.Packages {
		if b.Packages[i].Key == "" {
			return fault.New(fault.Invalid, "bill: package %d has no key", i)
		}
	}
	return errors.Join(checkSubject(b.Subject), checkText("bill", b.Format, b.Generator, b.Serial), checkText("bill", b.Notes...))
}

func checkSubject(s estate.Subject) error {
	return checkText("subject", s.Namespace, s.Name, s.Version, s.Digest)
}

func checkPackage(p estate.Package) error {
	return checkText("package", p.Key, p.Name, p.Version, p.Ecosystem, p.Match[0].Name, p.Match[0].Version,
		p.Match[1].Name, p.Match[1].Version, string(p.Unmatched))
}

func checkExploited(x estate.Exploited) error {
	if x.CVE == "" || x.List == "" {
		return fault.New(fault.Invalid, "exploited vulnerability: the CVE or the list is not stated")
	}
	return checkText("exploited vulnerability", x.CVE, x.List, x.Note)
}

func checkLikelihood(x estate.Likelihood) error {
	// The comparisons are false for NaN.
	if x.CVE == "" || !(x.Score >= 0 && x.Score <= 1) || !(x.Percentile >= 0 && x.Percentile <= 1) {
		return fault.New(fault.Invalid, "likelihood of %q: score %v and percentile %v; want a CVE and 0 to 1", x.CVE, x.Score, x.Percentile)
	}
	return checkText("likelihood", x.CVE)
}

// checkText refuses text that is not UTF-8 or contains NUL.
func checkText(noun string, texts ...string) error {
	for _, s := range texts {
		if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
			return fault.New(fault.Invalid, "%s: text %.60q is not UTF-8, or contains NUL", noun, s)
		}
	}
	return nil
}
