package demo

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"thymus/internal/estate"
)

// release is one release of a service that sent SBOMs.
type release struct {
	subject estate.Subject
	built   estate.Time
	known   estate.Time // when its SBOMs reached Thymus; zero: at the build, or with the first load
	deploy  string      // the environment that the push deploys it to
	bills   []*bill
	// packaged: the event that claims its digest is among the documents.
	packaged bool
}

// bill is one SBOM of a release.
type bill struct {
	generator, format string
	tree              *tree
}

// digest is the made-up digest of a release's image.
func digest(s estate.Subject) string {
	sum := sha256.Sum256([]byte("image of " + s.Service() + " at " + s.Version))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// readServices reads the services' releases.
func (s *story) readServices() error {
	s.byName = map[string]*release{}
	var service estate.Subject
	var first bill // what the service's line says of its SBOM
	var at *release
	var current *bill
	err := lines("services.txt", func(line string) (err error) {
		words := strings.Fields(line)
		switch words[0] {
		case "service":
			if len(words) != 5 {
				return fmt.Errorf("want: service name type format generator")
			}
			service, err = estate.ParseSubject(words[1])
			first = bill{generator: words[4], format: words[3], tree: &tree{kind: words[2]}}
			at, current = nil, nil
			return err
		case "release":
			at, err = s.newRelease(service, first, words[1:])
			if err != nil {
				return err
			}
			current = at.bills[0]
			return nil
		}
		if current == nil {
			return fmt.Errorf("a package before the first release")
		}
		switch words[0] {
		case "use":
			for _, name := range words[1:] {
				set := s.stacks[name]
				if set == nil {
					return fmt.Errorf("no set %q", name)
				}
				if err := current.tree.use(set); err != nil {
					return fmt.Errorf("use %s: %w", name, err)
				}
			}
			return nil
		case "sbom":
			if len(words) != 4 {
				return fmt.Errorf("want: sbom generator format type")
			}
			for _, b := range at.bills {
				if b.generator == words[1] {
					current = b
					return nil
				}
			}
			current = &bill{generator: words[1], format: words[2], tree: &tree{kind: words[3]}}
			at.bills = append(at.bills, current)
			return nil
		}
		return current.tree.apply(line)
	})
	if err != nil {
		return err
	}
	var bad []error
	for _, r := range s.releases {
		for _, b := range r.bills {
			if err := b.tree.check(); err != nil {
				bad = append(bad, fmt.Errorf("release %s: %w", r.subject, err))
			}
		}
	}
	return errors.Join(bad...)
}

// newRelease reads the words after "release".
func (s *story) newRelease(service estate.Subject, first bill, words []string) (*release, error) {
	words, opts := options(words)
	if len(words) != 2 && !(len(words) == 4 && words[2] == "like") {
		return nil, fmt.Errorf("want: release version built [like release]")
	}
	r := &release{subject: service, deploy: opts["deploy"]}
	r.subject.Version = words[0]
	r.subject.Digest = digest(r.subject)
	var err error
	if r.built, err = moment(words[1]); err != nil {
		return nil, err
	}
	if k := opts["known"]; k != "" {
		if r.known, err = moment(k); err != nil {
			return nil, err
		}
	}
	if len(words) == 4 {
		base := s.byName[service.Service()+"@"+words[3]]
		if base == nil {
			return nil, fmt.Errorf("no release %q of %s", words[3], service.Service())
		}
		for _, b := range base.bills {
			r.bills = append(r.bills, &bill{generator: b.generator, format: b.format, tree: b.tree.clone()})
		}
	} else {
		r.bills = []*bill{{generator: first.generator, format: first.format, tree: &tree{kind: first.tree.kind}}}
	}
	if s.byName[r.subject.String()] != nil {
		return nil, fmt.Errorf("release %s is told twice", r.subject)
	}
	s.byName[r.subject.String()] = r
	s.releases = append(s.releases, r)
	return r, nil
}
