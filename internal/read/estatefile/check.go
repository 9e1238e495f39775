package estatefile

import (
	"go.yaml.in/yaml/v3"

	"thymus/internal/fold"
	"thymus/internal/read/scan"
)

// claimed maps folded names to the nodes that give them.
type claimed map[string]*yaml.Node

func (c claimed) add(n *yaml.Node, what string) error {
	key := fold.Name(n.Value)
	if was := c[key]; was != nil {
		return at(n, "%s %q is given twice; first in line %d", what, scan.Quote(n.Value), was.Line)
	}
	c[key] = n
	return nil
}

func unique(nodes []*yaml.Node, what string) (claimed, error) {
	c := claimed{}
	for _, n := range nodes {
		if err := c.add(n, what); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// check does what needs the whole document: names given twice, references, and
// domains that contain themselves.
func (r *reader) check() error {
	domains, err := unique(r.domains, "the domain")
	if err != nil {
		return err
	}
	teams, err := unique(r.teams, "the team")
	if err != nil {
		return err
	}
	if _, err := unique(r.applications, "the application"); err != nil {
		return err
	}
	services, err := unique(r.services, "the service")
	if err != nil {
		return err
	}
	for _, a := range r.aliases {
		if err := services.add(a.node, "as an alias of "+a.owner+", the name"); err != nil {
			return err
		}
	}
	environments, err := unique(r.environments, "the environment")
	if err != nil {
		return err
	}
	for _, a := range r.places {
		if err := environments.add(a.node, "as an alias of "+a.owner+", the name"); err != nil {
			return err
		}
	}
	artifacts := claimed{}
	for _, a := range r.artifacts {
		if err := artifacts.add(a.node, "as an artifact of "+a.owner+", the name"); err != nil {
			return err
		}
	}
	for _, ref := range r.refs {
		known, complete := domains, r.hasDomains
		if ref.kind == "team" {
			known, complete = teams, r.hasTeams
		}
		declared := known[fold.Name(ref.node.Value)]
		if declared != nil {
			*ref.into() = declared.Value
		} else if complete {
			return at(ref.node, "the %s %q is not among the %ss of this file", ref.kind, scan.Quote(ref.node.Value), ref.kind)
		}
	}
	return r.tree(domains)
}

// tree checks that every parent is a domain, and that none is its own ancestor.
func (r *reader) tree(domains claimed) error {
	index := map[string]int{}
	for i, d := range r.out.Domains {
		index[fold.Name(d.Name)] = i
	}
	// Walks that were found to end need not be repeated.
	ends := make([]bool, len(r.out.Domains))
	for i := range r.out.Domains {
		d := &r.out.Domains[i]
		if d.Parent == "" {
			continue
		}
		declared := domains[fold.Name(d.Parent)]
		if declared == nil {
			return at(r.parents[i], "the parent %q of the domain %q is not among the domains of this file", scan.Quote(d.Parent), d.Name)
		}
		d.Parent = declared.Value
	}
	for i := range r.out.Domains {
		var walk []int
		onWalk := map[int]bool{}
		for j := i; !ends[j]; {
			if onWalk[j] {
				return at(r.parents[j], "the domain %q contains itself", r.out.Domains[j].Name)
			}
			onWalk[j] = true
			walk = append(walk, j)
			parent := r.out.Domains[j].Parent
			if parent == "" {
				break
			}
			j = index[fold.Name(parent)]
		}
		for _, j := range walk {
			ends[j] = true
		}
	}
	return nil
}
