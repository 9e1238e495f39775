package graph

import (
	"encoding/hex"

	"thymus/internal/estate"
)

// asserted is what was claimed, under the names it was claimed with.
type asserted struct {
	subjects     []estate.Subject // by SubjectID; index 0 unused
	byDigest     map[string][]estate.SubjectID
	bills        []bill
	billsOf      map[estate.SubjectID][]int32
	events       []event
	dumps        []dump
	artifacts    []artifact
	verdicts     []estate.VerdictRow
	descriptions []estate.DescriptionRow // the newest of each source
	minted       map[string][]minted     // by application, in order of number
	texts        []string
	textID       map[string]uint32
	firstMoment  estate.Time // no event or dump is earlier
	lastMoment   estate.Time // or later
}

func (a *asserted) init() {
	a.subjects = make([]estate.Subject, 1)
	a.byDigest = map[string][]estate.SubjectID{}
	a.billsOf = map[estate.SubjectID][]int32{}
	a.minted = map[string][]minted{}
	a.textID = map[string]uint32{}
}

type bill struct {
	id                        estate.BillID
	subject                   estate.SubjectID
	evidence                  [32]byte
	source, format, generator string
	made, at, known           estate.Time
	set                       int32
	listed, reported          int32
	partial                   bool
	notes                     []string
}

func (b *bill) sha() string { return hex.EncodeToString(b.evidence[:]) }

type event struct {
	subject            estate.SubjectID
	environment        string // as asserted
	source, config     string
	replicas           int32
	removed, alongside bool
	at, known          estate.Time
	batch              int64 // 0: alone
}

// dump is a batch that says what ran in an environment, completely.
type dump struct {
	environment, source string
	batch               int64
	at, known           estate.Time
	subjects            []estate.SubjectID
}

type artifact struct {
	subject estate.SubjectID
	known   estate.Time
}

// joinPlan says what of the joined layer a change touches.
type joinPlan struct {
	all      bool // names changed their meaning: join everything anew
	subjects []estate.SubjectID
	bills    []int32
	events   []int32
	dumps    []int32
	apps     bool
}

// addRows takes the asserted rows of a change in.
func (g *Graph) addRows(c *estate.Change) joinPlan {
	var plan joinPlan
	for _, r := range c.Subjects {
		for int(r.ID) >= len(g.subjects) {
			g.subjects = append(g.subjects, estate.Subject{})
		}
		s := r.Subject
		s.Namespace, s.Name = g.intern(s.Namespace), g.intern(s.Name)
		g.subjects[r.ID] = s
		if s.Digest != "" {
			g.byDigest[s.Digest] = append(g.byDigest[s.Digest], r.ID)
			if len(g.byDigest[s.Digest]) > 1 {
				plan.all = true // the digest may have found or changed its owner
			}
		}
		plan.subjects = append(plan.subjects, r.ID)
	}
	for _, r := range c.Artifacts {
		g.artifacts = append(g.artifacts, artifact{r.Subject, r.Known})
		plan.all = plan.all || len(g.byDigest[g.subjects[r.Subject].Digest]) > 1
	}
	for _, r := range c.Bills {
		b := bill{
			id: r.ID, subject: r.Subject, source: g.intern(r.Source), format: g.intern(r.Format),
			generator: g.intern(r.Generator), made: r.Made, at: r.At, known: r.Known, partial: r.Partial,
			set: g.internSet(r.Packages), listed: int32(r.Listed), reported: int32(r.Reported), notes: r.Notes,
		}
		_, _ = hex.Decode(b.evidence[:], []byte(r.Evidence)) // the ledger's own address
		i := int32(len(g.bills))
		g.bills = append(g.bills, b)
		g.billsOf[r.Subject] = append(g.billsOf[r.Subject], i)
		plan.bills = append(plan.bills, i)
		// The bill may make its subject the owner of a digest that others carry.
		plan.all = plan.all || !g.loading && len(g.byDigest[g.subjects[r.Subject].Digest]) > 1 && g.claims(r.Subject)
	}
	last := -1
	inBatch := map[int64]int{}
	for i := range c.Events {
		inBatch[c.Events[i].Batch]++
	}
	for _, r := range c.Events {
		g.lastMoment = max(g.lastMoment, r.At)
		if g.firstMoment == 0 || r.At < g.firstMoment {
			g.firstMoment = r.At
		}
		if inBatch[r.Batch] == 1 && !r.Complete {
			r.Batch = 0 // a document that states one deployment is no batch
		}
		if r.Complete {
			if last < 0 || g.dumps[last].batch != r.Batch {
				last = len(g.dumps)
				plan.dumps = append(plan.dumps, int32(last))
				g.dumps = append(g.dumps, dump{environment: g.intern(r.Environment), source: g.intern(r.Source), batch: r.Batch, at: r.At, known: r.Known})
			}
			if r.Subject == 0 || g.subjects[r.Subject] == (estate.Subject{}) {
				continue // a dump of an empty environment
			}
			if !r.Removed {
				g.dumps[last].subjects = append(g.dumps[last].subjects, r.Subject)
			}
		}
		i := int32(len(g.events))
		g.events = append(g.events, event{
			subject: r.Subject, environment: g.intern(r.Environment), source: g.intern(r.Source), config: g.intern(r.Config),
			replicas: int32(r.Replicas), removed: r.Removed, alongside: r.Alongside, at: r.At, known: r.Known, batch: r.Batch,
		})
		plan.events = append(plan.events, i)
	}
	for _, r := range c.Verdicts {
		r.Source = g.intern(r.Source)
		g.verdicts = append(g.verdicts, r)
		g.setVerdict(int32(len(g.verdicts) - 1))
	}
	for _, r := range c.Descriptions {
		g.setDescription(r)
		plan.all, plan.apps = true, true
	}
	for i := range c.AppVersions {
		g.addMinted(&c.AppVersions[i])
	}
	return plan
}

func (g *Graph) setDescription(r estate.DescriptionRow) {
	for i := range g.descriptions {
		if g.descriptions[i].Source == r.Source {
			if r.ID >= g.descriptions[i].ID {
				g.descriptions[i] = r
			}
			return
		}
	}
	g.descriptions = append(g.descriptions, r)
}

// minted is a minted application version, its members packed: they repeat from
// version to version.
type minted struct {
	number      int
	hash        [32]byte
	environment string
	at, known   estate.Time
	members     []packedMember
}

// packedMember holds indexes into asserted.texts.
type packedMember struct{ service, release, config uint32 }

func (g *Graph) text(s string) uint32 {
	id, ok := g.textID[s]
	if !ok {
		s = g.intern(s)
		id = uint32(len(g.texts))
		g.texts = append(g.texts, s)
		g.textID[s] = id
	}
	return id
}

func (g *Graph) addMinted(r *estate.AppVersionRow) {
	m := minted{number: r.Number, environment: g.intern(r.Environment), at: r.At, known: r.Known, members: make([]packedMember, len(r.Members))}
	_, _ = hex.Decode(m.hash[:], []byte(r.Hash)) // the ledger's own
	for i, x := range r.Members {
		m.members[i] = packedMember{g.text(x.Service), g.text(x.Release), g.text(x.Config)}
	}
	list := append(g.minted[r.Application], m)
	for i := len(list) - 1; i > 0 && list[i].number < list[i-1].number; i-- {
		list[i], list[i-1] = list[i-1], list[i]
	}
	g.minted[r.Application] = list
}
