package answer

import (
	"fmt"
)

// state decides the state and words the verdict sentence.
func (out *Affected) state(known bool) {
	c := out.Counts
	id := out.Query
	if len(out.Advisories) > 0 && !isPackage(out.Query) {
		id = out.Advisories[0].ID
	}
	missing := ""
	for _, g := range out.NotAssessed {
		if missing != "" {
			missing += ", and "
		}
		switch g.Kind {
		case "estate":
			missing += g.What
		case "feed":
			missing += "there is no feed for " + plural(g.Count, g.What+" package")
		default:
			missing += plural(g.Count, "deployment") + " without an SBOM"
		}
	}
	switch {
	case c.Exposures > 0:
		out.State = StateAffected
		out.Verdict = fmt.Sprintf("Affected by %s: %s of %s %s in %s", id, plural(c.Running, "release"), plural(c.Services, "service"),
			runVerb(c.Running), plural(c.Environments, "environment"))
		if c.Applications > 0 {
			out.Verdict += ", in " + plural(c.Applications, "application")
		}
		out.Verdict += "."
		switch fixable, n := fixes(out.Fixes); {
		case n == 0:
		case fixable == n:
			f := out.Fixes[0]
			out.Verdict += fmt.Sprintf(" Fix: %s %s", f.Package, f.To)
			if n > 1 {
				out.Verdict += fmt.Sprintf(" and %s more", plural(n-1, "change"))
			}
			out.Verdict += "."
		case fixable == 0:
			out.Verdict += " No fix is known."
		default:
			out.Verdict += fmt.Sprintf(" A fix is known for %d of %s.", fixable, plural(n, "package"))
		}
		if c.Suppressed > 0 {
			out.Verdict += fmt.Sprintf(" %s closed by a verdict.", plural(c.Suppressed, "exposure"))
		}
		if missing != "" {
			out.Verdict += " Not assessed: " + missing + "."
		}
	case !known:
		out.State = StateNotAssessed
		out.Verdict = fmt.Sprintf("Not assessed: no stored advisory carries the id %s.", id)
		out.NotAssessed = append(out.NotAssessed, Gap{Kind: "advisory", What: id, Count: 1, Remedy: "thymus feed update, or thymus feed import"})
	case c.Suppressed > 0:
		out.State = StateClosed
		out.Verdict = fmt.Sprintf("Not affected by %s: %s closed by a verdict.", id, plural(c.Suppressed, "exposure"))
	case missing != "":
		out.State = StateNotAssessed
		out.Verdict = fmt.Sprintf("Not assessed in full: no release that was assessed and runs has %s, but %s.", id, missing)
	case c.Releases > 0:
		out.State = StateNotRunning
		out.Verdict = fmt.Sprintf("Not affected by %s: %s %s it, and none of them runs.", id, plural(c.Releases, "release"), haveVerb(c.Releases))
	default:
		out.State = StateNotAffected
		out.Verdict = fmt.Sprintf("Not affected by %s: no release contains an affected package.", id)
		if len(out.Advisories) > 0 && out.Advisories[0].Withdrawn != 0 {
			out.Verdict = fmt.Sprintf("Not affected by %s: it was withdrawn on %s.", id, out.Advisories[0].Withdrawn.String()[:10])
		}
	}
}

func runVerb(n int) string {
	if n == 1 {
		return "runs"
	}
	return "run"
}

func haveVerb(n int) string {
	if n == 1 {
		return "has"
	}
	return "have"
}

func fixes(fs []Fix) (fixable, n int) {
	for _, f := range fs {
		if f.To != "" {
			fixable++
		}
	}
	return fixable, len(fs)
}
