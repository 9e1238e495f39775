package estatefile

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/scan"
)

// reader collects what the sections say, with the nodes to name in errors.
type reader struct {
	out estate.Description
	// Sections that stand in the file; what they list is complete.
	hasDomains, hasTeams bool

	domains, teams, services, applications, environments []*yaml.Node // of the names
	parents                                              []*yaml.Node // of domains; nil without one
	aliases, places, artifacts                           []owned
	refs                                                 []reference
}

// owned is a name that belongs to an entry.
type owned struct {
	node  *yaml.Node
	owner string
}

// reference is a name of a domain or team; into tells where the spelling of its
// declaration goes, once the lists have stopped growing.
type reference struct {
	node *yaml.Node
	kind string
	into func() *string
}

func (r *reader) top(root *yaml.Node) error {
	version := ""
	err := mapping(root, "the document", keys{
		"thymus": func(n *yaml.Node) error {
			if err := text(&version, "thymus", nil)(n); err != nil {
				return err
			}
			if version != Version {
				return fault.New(fault.Unsupported, "line %d: %q is not read by this version of Thymus, which reads %q", n.Line, scan.Quote(version), Version)
			}
			return nil
		},
		"since": when(&r.out.Since, "since"),
		"domains": func(n *yaml.Node) error {
			r.hasDomains = true
			return list(n, "domains", func(n *yaml.Node) error { return r.domain(n, "", 1) })
		},
		"teams": func(n *yaml.Node) error {
			r.hasTeams = true
			return list(n, "teams", r.team)
		},
		"services":     func(n *yaml.Node) error { return list(n, "services", r.service) },
		"applications": func(n *yaml.Node) error { return list(n, "applications", r.application) },
		"environments": func(n *yaml.Node) error { return list(n, "environments", r.environment) },
		"objectives":   func(n *yaml.Node) error { return list(n, "objectives", r.objective) },
	}, "thymus")
	if err != nil {
		return err
	}
	o := r.out
	if len(o.Domains)+len(o.Teams)+len(o.Services)+len(o.Applications)+len(o.Environments)+len(o.Objectives) == 0 {
		return at(root, "the document describes nothing")
	}
	return nil
}

// name takes the name of an entry and keeps its node.
func name(into *string, node **yaml.Node, what string) func(*yaml.Node) error {
	return func(n *yaml.Node) error {
		*node = n
		return text(into, "the name of "+what, plainName)(n)
	}
}

func (r *reader) domain(n *yaml.Node, within string, depth int) error {
	if depth > read.MaxDepth {
		return fault.New(fault.TooLarge, "line %d: domains are nested more than %d deep", n.Line, read.MaxDepth)
	}
	d := estate.DomainSpec{Parent: within}
	var own, team, parent, inner *yaml.Node
	err := mapping(n, "a domain", keys{
		"name":  name(&d.Name, &own, "a domain"),
		"title": text(&d.Title, "a title", nil),
		"team": func(n *yaml.Node) error {
			team = n
			return text(&d.Team, "a team", plainName)(n)
		},
		"parent": func(n *yaml.Node) error {
			parent = n
			if within != "" {
				return at(n, "the domain stands within %q already; leave parent out", within)
			}
			return text(&d.Parent, "a domain", plainName)(n)
		},
		"domains": func(n *yaml.Node) error {
			inner = n
			return nil
		},
	}, "name")
	if err != nil {
		return err
	}
	i := len(r.out.Domains)
	r.out.Domains = append(r.out.Domains, d)
	r.domains = append(r.domains, own)
	if within != "" {
		parent = own
	}
	r.parents = append(r.parents, parent)
	r.ref(team, "team", func() *string { return &r.out.Domains[i].Team })
	if inner == nil {
		return nil
	}
	return list(inner, "domains", func(n *yaml.Node) error { return r.domain(n, d.Name, depth+1) })
}

func (r *reader) team(n *yaml.Node) error {
	var t estate.TeamSpec
	var own *yaml.Node
	err := mapping(n, "a team", keys{
		"name":    name(&t.Name, &own, "a team"),
		"title":   text(&t.Title, "a title", nil),
		"contact": text(&t.Contact, "a contact", nil),
	}, "name")
	r.out.Teams = append(r.out.Teams, t)
	r.teams = append(r.teams, own)
	return err
}

func (r *reader) service(n *yaml.Node) error {
	var s estate.ServiceSpec
	var own, domain, team *yaml.Node
	var aliases, artifacts []*yaml.Node
	full := ""
	err := mapping(n, "a service", keys{
		"name": func(n *yaml.Node) error {
			own = n
			return text(&full, "a service, [namespace/]name", serviceName)(n)
		},
		"title":      text(&s.Title, "a title", nil),
		"domain":     func(n *yaml.Node) error { domain = n; return text(&s.Domain, "a domain", plainName)(n) },
		"team":       func(n *yaml.Node) error { team = n; return text(&s.Team, "a team", plainName)(n) },
		"tier":       number(&s.Tier, "tier", 1, 5),
		"repository": text(&s.Repository, "a repository, https://… or git@…", repositoryIs),
		"language":   text(&s.Language, "a language", nil),
		"vendor":     text(&s.Vendor, "a vendor", nil),
		"retired":    truth(&s.Retired, "retired"),
		"aliases":    texts(&s.Aliases, &aliases, "service, [namespace/]name", serviceName),
		"artifacts":  texts(&s.Artifacts, &artifacts, "artifact, an image without its tag, or a digest", nil),
	}, "name")
	if err != nil {
		return err
	}
	for _, n := range artifacts {
		form := imageName
		if strings.HasPrefix(n.Value, "sha256:") {
			form = digestForm
		}
		if !form.MatchString(n.Value) {
			return at(n, "%q is neither an image without its tag nor a digest", scan.Quote(n.Value))
		}
		r.artifacts = append(r.artifacts, owned{n, full})
	}
	for _, n := range aliases {
		r.aliases = append(r.aliases, owned{n, full})
	}
	sub, err := estate.ParseSubject(full)
	if err != nil {
		return at(own, "%v", err)
	}
	s.Namespace, s.Name = sub.Namespace, sub.Name
	i := len(r.out.Services)
	r.out.Services = append(r.out.Services, s)
	r.services = append(r.services, own)
	r.ref(domain, "domain", func() *string { return &r.out.Services[i].Domain })
	r.ref(team, "team", func() *string { return &r.out.Services[i].Team })
	return nil
}

func (r *reader) application(n *yaml.Node) error {
	var a estate.ApplicationSpec
	var own, team *yaml.Node
	var domains, teams []*yaml.Node
	err := mapping(n, "an application", keys{
		"name":         name(&a.Name, &own, "an application"),
		"title":        text(&a.Title, "a title", nil),
		"team":         func(n *yaml.Node) error { team = n; return text(&a.Team, "a team", plainName)(n) },
		"tier":         number(&a.Tier, "tier", 1, 5),
		"services":     texts(&a.Services, nil, "service, [namespace/]name", serviceName),
		"entry_points": texts(&a.EntryPoints, nil, "service, [namespace/]name", serviceName),
		"domains":      texts(&a.Domains, &domains, "domain", plainName),
		"teams":        texts(&a.Teams, &teams, "team", plainName),
	}, "name")
	if err != nil {
		return err
	}
	if len(a.Services)+len(a.EntryPoints)+len(a.Domains)+len(a.Teams) == 0 {
		return at(n, "the application %q has no members; list services, entry_points, domains or teams", a.Name)
	}
	i := len(r.out.Applications)
	r.out.Applications = append(r.out.Applications, a)
	r.applications = append(r.applications, own)
	r.ref(team, "team", func() *string { return &r.out.Applications[i].Team })
	for j, n := range domains {
		r.ref(n, "domain", func() *string { return &r.out.Applications[i].Domains[j] })
	}
	for j, n := range teams {
		r.ref(n, "team", func() *string { return &r.out.Applications[i].Teams[j] })
	}
	return nil
}

// tiers are the tiers of environments.
var tiers = [...]string{"production", "staging", "test", "development"}

func (r *reader) environment(n *yaml.Node) error {
	var e estate.EnvironmentSpec
	var own *yaml.Node
	var aliases []*yaml.Node
	err := mapping(n, "an environment", keys{
		"name": func(n *yaml.Node) error {
			own = n
			return text(&e.Name, "the name of an environment", placeName)(n)
		},
		"tier":    one(&e.Tier, "the tier", tiers[:]...),
		"zone":    text(&e.Zone, "a zone", plainName),
		"aliases": texts(&e.Aliases, &aliases, "name of an environment", placeName),
	}, "name")
	r.out.Environments = append(r.out.Environments, e)
	r.environments = append(r.environments, own)
	for _, n := range aliases {
		r.places = append(r.places, owned{n, e.Name})
	}
	return err
}

func (r *reader) objective(n *yaml.Node) error {
	var o estate.Objective
	err := mapping(n, "an objective", keys{
		"severity": one(&o.Severity, "the severity", "unscored", "low", "medium", "high", "critical", "malware", "exploited"),
		"tier":     one(&o.Tier, "the tier", tiers[:]...),
		"days":     number(&o.Days, "days", 1, 3650),
	}, "severity", "days")
	if err != nil {
		return err
	}
	for _, other := range r.out.Objectives {
		if other.Severity == o.Severity && other.Tier == o.Tier {
			return at(n, "the objective for %s is given twice", strings.TrimSpace(o.Severity+" "+o.Tier))
		}
	}
	r.out.Objectives = append(r.out.Objectives, o)
	return nil
}

func (r *reader) ref(n *yaml.Node, kind string, into func() *string) {
	if n != nil {
		r.refs = append(r.refs, reference{node: n, kind: kind, into: into})
	}
}
