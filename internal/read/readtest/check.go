package readtest

import (
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"thymus/internal/estate"
	"thymus/internal/read"
)

// Check tells whether a fact keeps the limits of package read and the promises
// of package estate: sizes, valid UTF-8 without NUL (no store keeps it), indexes
// within their lists, and closed vocabularies.
func Check(f estate.Fact) error {
	if err := checkStrings(reflect.ValueOf(f), reflect.TypeOf(f).Elem().Name(), 0); err != nil {
		return err
	}
	switch f := f.(type) {
	case *estate.Bill:
		return checkBill(f)
	case *estate.Deployments:
		for i, d := range f.Items {
			if d.Subject == (estate.Subject{}) || d.Subject == (estate.Subject{Derived: true}) {
				return fmt.Errorf("Items[%d] has a blank subject", i)
			}
			if d.Replicas < 0 {
				return fmt.Errorf("Items[%d].Replicas = %d", i, d.Replicas)
			}
		}
	case *estate.Packaged:
		if f.Subject.Digest == "" {
			return fmt.Errorf("Packaged without a digest")
		}
	case *estate.Advisory:
		if f.ID == "" {
			return fmt.Errorf("Advisory without an id")
		}
	case *estate.Verdict:
		return checkVerdict(f)
	case *estate.Exploited:
		if f.CVE == "" || f.List == "" {
			return fmt.Errorf("Exploited without a CVE or the name of its list")
		}
	case *estate.Likelihood:
		if f.CVE == "" || !(f.Score >= 0 && f.Score <= 1) || !(f.Percentile >= 0 && f.Percentile <= 1) {
			return fmt.Errorf("Likelihood %q has score %v and percentile %v", f.CVE, f.Score, f.Percentile)
		}
	}
	return nil
}

func checkBill(b *estate.Bill) error {
	n := int32(len(b.Packages))
	if len(b.Depends) != 0 && len(b.Depends) != len(b.Packages) {
		return fmt.Errorf("Depends is as long as %d of %d packages", len(b.Depends), n)
	}
	for i, on := range b.Depends {
		for _, j := range on {
			if j < 0 || j >= n {
				return fmt.Errorf("Depends[%d] holds %d of %d packages", i, j, n)
			}
		}
	}
	for _, j := range b.Direct {
		if j < 0 || j >= n {
			return fmt.Errorf("Direct holds %d of %d packages", j, n)
		}
	}
	for i, c := range b.Packages {
		if c.Parent < -1 || c.Parent >= n || c.Parent == int32(i) {
			return fmt.Errorf("Packages[%d].Parent = %d of %d packages", i, c.Parent, n)
		}
		switch c.Scope {
		case "", "required", "optional", "excluded", "dev":
		default:
			return fmt.Errorf("Packages[%d].Scope = %q", i, c.Scope)
		}
	}
	if b.Format == "" {
		return fmt.Errorf("Bill without a format")
	}
	return nil
}

func checkVerdict(v *estate.Verdict) error {
	if v.Advisory == "" {
		return fmt.Errorf("Verdict without an advisory")
	}
	switch v.Status {
	case estate.StatusNotAffected, estate.StatusAffected, estate.StatusFixed, estate.StatusInvestigate:
	default:
		return fmt.Errorf("Verdict with the status %q", v.Status)
	}
	scopes := 0
	for _, set := range []bool{v.Release != (estate.Subject{}), v.Application != "", v.Domain != ""} {
		if set {
			scopes++
		}
	}
	if scopes > 1 {
		return fmt.Errorf("Verdict with %d scopes", scopes)
	}
	if v.Range != "" && v.Package == "" {
		return fmt.Errorf("Verdict with the range %q of no package", v.Range)
	}
	return nil
}

func checkStrings(v reflect.Value, path string, depth int) error {
	if depth > 20 {
		return fmt.Errorf("%s is nested too deeply", path)
	}
	switch v.Kind() {
	case reflect.String:
		s := v.String()
		switch {
		case len(s) > read.MaxString:
			return fmt.Errorf("%s has %d bytes", path, len(s))
		case !utf8.ValidString(s):
			return fmt.Errorf("%s is not UTF-8: %q", path, s[:min(len(s), 80)])
		case strings.IndexByte(s, 0) >= 0:
			return fmt.Errorf("%s holds NUL: %q", path, s[:min(len(s), 80)])
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return checkStrings(v.Elem(), path, depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if err := checkStrings(v.Field(i), path+"."+v.Type().Field(i).Name, depth+1); err != nil {
				return err
			}
		}
	case reflect.Slice:
		switch v.Type().Elem().Kind() {
		case reflect.Uint8, reflect.Int32:
			return nil
		}
		if v.Len() > read.MaxComponents {
			return fmt.Errorf("%s has %d items", path, v.Len())
		}
		for i := range v.Len() {
			if err := checkStrings(v.Index(i), fmt.Sprintf("%s[%d]", path, i), depth+1); err != nil {
				return err
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			for _, part := range []reflect.Value{it.Key(), it.Value()} {
				if err := checkStrings(part, path, depth+1); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
