package demo

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	packageurl "github.com/package-url/packageurl-go"
)

// tree is a set of packages of one type with the edges between them.
type tree struct {
	kind  string // purl type: "npm", "maven", "deb", …
	nodes []*node
}

// node is one package of a tree.
type node struct {
	key     string // its name, with "#n" for further versions of one package
	name    string
	version string
	direct  bool
	depends []string // keys, or for Maven artifact ids
	source  string   // source package of a distribution, "name" or "name@version"
	raw     bool     // as written: purl may be anything
	purl    string   // only of a raw one
}

// readPackages reads the package sets.
func (s *story) readPackages() error {
	s.stacks = map[string]*tree{}
	for _, name := range []string{"golang.txt", "maven.txt", "npm.txt", "nuget.txt", "os.txt", "pypi.txt"} {
		var t *tree
		err := lines(name, func(line string) error {
			if words := strings.Fields(line); words[0] == "stack" {
				if len(words) < 3 {
					return fmt.Errorf("want: stack type name [like name]")
				}
				t = &tree{kind: words[1]}
				if len(words) == 5 && words[3] == "like" {
					base := s.stacks[words[4]]
					if base == nil {
						return fmt.Errorf("no set %q", words[4])
					}
					t = base.clone()
				}
				s.stacks[words[2]] = t
				return nil
			}
			if t == nil {
				return fmt.Errorf("a package before the first set")
			}
			return t.apply(line)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) clone() *tree {
	c := &tree{kind: t.kind}
	for _, n := range t.nodes {
		d := *n
		d.depends = slices.Clone(n.depends)
		c.nodes = append(c.nodes, &d)
	}
	return c
}

func (t *tree) find(key string) *node {
	for _, n := range t.nodes {
		if n.key == key {
			return n
		}
	}
	return nil
}

// resolve finds what a dependency names: a key, or the one Maven artifact so named.
func (t *tree) resolve(name string) *node {
	if n := t.find(name); n != nil {
		return n
	}
	var found *node
	for _, n := range t.nodes {
		if strings.HasSuffix(n.key, ":"+name) {
			if found != nil {
				return nil
			}
			found = n
		}
	}
	return found
}

// apply carries out one line: a package added or moved, a pattern of Maven
// packages moved, a package removed, or a raw component.
func (t *tree) apply(line string) error {
	if rest, ok := strings.CutPrefix(line, "raw "); ok {
		return t.addRaw(rest)
	}
	if key, ok := strings.CutPrefix(line, "-"); ok {
		n := t.find(key)
		if n == nil {
			return fmt.Errorf("no package %q to remove", key)
		}
		t.nodes = slices.DeleteFunc(t.nodes, func(o *node) bool { return o == n })
		for _, o := range t.nodes {
			o.depends = slices.DeleteFunc(o.depends, func(d string) bool { return d == key || strings.HasSuffix(key, ":"+d) })
		}
		return nil
	}
	head, deps, hasDeps := strings.Cut(line, ": ")
	head, source, _ := strings.Cut(head, " < ")
	head, direct := strings.CutPrefix(head, "*")
	key, version, ok := strings.Cut(head, " ")
	if !ok || version == "" || strings.ContainsAny(version, " \t") {
		return fmt.Errorf("want: name version[: dependencies], got %q", line)
	}
	if t.kind == "maven" && strings.Contains(key, "*") {
		moved := false
		for _, n := range t.nodes {
			if match, _ := path.Match(key, n.key); match {
				n.version, moved = version, true
			}
		}
		if !moved {
			return fmt.Errorf("no package like %q", key)
		}
		return nil
	}
	n := t.find(key)
	if n == nil {
		name, _, _ := strings.Cut(key, "#")
		n = &node{key: key, name: name}
		t.nodes = append(t.nodes, n)
	}
	n.version = version
	n.direct = n.direct || direct
	if source != "" {
		n.source = source
	}
	if hasDeps {
		n.depends = strings.Fields(deps)
	}
	return nil
}

func (t *tree) addRaw(rest string) error {
	parts := strings.Split(rest, "|")
	if len(parts) != 3 {
		return fmt.Errorf("want: raw name | version | purl")
	}
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	n := &node{key: parts[0], name: parts[0], version: parts[1], purl: parts[2], raw: true, direct: true}
	if old := t.find(n.key); old != nil {
		*old = *n
		return nil
	}
	t.nodes = append(t.nodes, n)
	return nil
}

// use adds a package set. A package that is there in another version stays, and
// the set's own comes beside it, as resolvers lay it out.
func (t *tree) use(set *tree) error {
	if set.kind != t.kind {
		return fmt.Errorf("a set of %s in a tree of %s", set.kind, t.kind)
	}
	c := set.clone()
	renamed := map[string]string{}
	for _, n := range c.nodes {
		key, free := n.key, 1
		for {
			old := t.find(key)
			if old == nil || old.version == n.version {
				break
			}
			free++
			key = n.name + "#" + strconv.Itoa(free)
		}
		renamed[n.key] = key
	}
	for _, n := range c.nodes {
		for i, d := range n.depends {
			if own := set.resolve(d); own != nil {
				n.depends[i] = renamed[own.key]
			}
		}
		n.key = renamed[n.key]
		if old := t.find(n.key); old != nil {
			old.direct = old.direct || n.direct
			for _, d := range n.depends {
				if !slices.Contains(old.depends, d) {
					old.depends = append(old.depends, d)
				}
			}
			continue
		}
		t.nodes = append(t.nodes, n)
	}
	return nil
}

// check tells of a dependency that is not in the tree, and of a package that is
// in it for no reason. A distribution's packages need none.
func (t *tree) check() error {
	needed := map[*node]bool{}
	for _, n := range t.nodes {
		for _, d := range n.depends {
			on := t.resolve(d)
			if on == nil {
				return fmt.Errorf("%s %s depends on %q, which is not in the release", n.key, n.version, d)
			}
			needed[on] = true
		}
	}
	for _, n := range t.nodes {
		if !n.direct && !needed[n] && t.kind != "deb" && t.kind != "apk" {
			return fmt.Errorf("%s %s is neither direct nor needed", n.key, n.version)
		}
	}
	return nil
}

// url renders a node's package URL; "" for a raw one without.
func (t *tree) url(n *node) string {
	if n.raw {
		return n.purl
	}
	namespace, name, version := "", n.name, n.version
	var q map[string]string
	switch t.kind {
	case "maven":
		namespace, name, _ = strings.Cut(n.name, ":")
	case "npm", "golang":
		if i := strings.LastIndex(n.name, "/"); i >= 0 {
			namespace, name = n.name[:i], n.name[i+1:]
		}
	case "deb":
		namespace, q = "debian", map[string]string{"arch": "amd64", "distro": "debian-12"}
	case "apk":
		namespace, q = "alpine", map[string]string{"arch": "x86_64", "distro": "alpine-3.18.4"}
	}
	if n.source != "" {
		q["upstream"] = n.source
	}
	return packageurl.NewPackageURL(t.kind, namespace, name, version, packageurl.QualifiersFromMap(q), "").ToString()
}
