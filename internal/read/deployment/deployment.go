// Package deployment reads Thymus's own description of what runs in an
// environment, for scripts and pipelines that have no better format:
//
//	{
//	  "thymus": "deployment/v1",
//	  "environment": "production",
//	  "at": "2026-03-01T12:00:00Z",
//	  "complete": false,
//	  "deployments": [
//	    {"service": "shop/cart", "version": "1.4.2", "digest": "sha256:…",
//	     "config": "sha256:…", "replicas": 3}
//	  ]
//	}
//
// The members:
//
//   - thymus: always "deployment/v1";
//   - environment: its name, or one that estate.yaml maps;
//   - at: when this became true, RFC 3339 or a date; without it the time of the
//     claim holds, else that of receipt;
//   - complete: the list is all that runs there, so what it does not name no
//     longer does; without it each item is an event;
//   - deployments[].service: "[namespace/]name";
//   - version, digest: what runs, at least one of the two; digest is the
//     SHA-256 of the image;
//   - removed: it no longer runs there. Without version and digest this removes
//     every release of the service;
//   - alongside: the other releases of the service go on running there;
//   - config: the digest of its configuration, or anything that changes when
//     the configuration does;
//   - replicas: how many run; 0 is "not stated".
//
// The document becomes one estate.Deployments. As this is our own format,
// anything unknown is refused, so that a typing error is not a silent loss.
// schema/deployment.schema.json says the same in JSON Schema.
package deployment

import (
	"bytes"
	"context"
	"iter"
	"regexp"
	"strconv"

	"thymus/internal/estate"
	"thymus/internal/fault"
	"thymus/internal/read"
	"thymus/internal/read/ident"
	"thymus/internal/read/outline"
	"thymus/internal/read/scan"
)

// Version is the value of the member "thymus".
const Version = "deployment/v1"

// MaxReplicas is the highest number of replicas of one deployment.
const MaxReplicas = 1_000_000

// Reader reads deployment documents.
type Reader struct{}

// New returns the reader.
func New() Reader { return Reader{} }

// Name returns "deployment".
func (Reader) Name() string { return "deployment" }

// Detect tells whether a document says that it is one, in any version, so that
// a later version is refused with its name.
func (Reader) Detect(head []byte, _ map[string]string) bool {
	if !bytes.Contains(head, []byte(`"thymus"`)) {
		return false
	}
	const kind = "deployment/"
	v := outline.Of(head)["/thymus"]
	return len(v) > len(kind) && v[:len(kind)] == kind
}

// Read yields one *estate.Deployments.
func (Reader) Read(ctx context.Context, in read.Input) iter.Seq2[estate.Fact, error] {
	return func(yield func(estate.Fact, error) bool) {
		f, err := document(ctx, in.Body)
		if err != nil {
			yield(nil, err)
			return
		}
		yield(f, nil)
	}
}

func document(ctx context.Context, body []byte) (*estate.Deployments, error) {
	j, err := scan.NewJSON(ctx, body)
	if err != nil {
		return nil, err
	}
	d := strict{j}
	out := &estate.Deployments{}
	version := ""
	err = d.object(func(key string) (err error) {
		switch key {
		case "thymus":
			if version, err = d.text(); err == nil && version != Version {
				err = d.Errorf(fault.Unsupported, "%q is not read by this version of Thymus, which reads %q", scan.Quote(version), Version)
			}
		case "environment":
			out.Environment, err = d.name(environmentName, "an environment")
		case "at":
			out.At, err = d.time()
		case "complete":
			out.Complete, err = d.truth()
		case "deployments":
			if d.Kind() != '[' {
				return d.Errorf(fault.Invalid, "a list belongs here")
			}
			err = d.Array(func(int) error {
				item, err := d.item()
				out.Items = append(out.Items, item)
				return err
			})
		default:
			err = d.unknown(key, "thymus, environment, at, complete, deployments")
		}
		return err
	})
	if err == nil {
		err = d.End()
	}
	switch {
	case err != nil:
		return nil, err
	case version == "":
		return nil, fault.New(fault.Invalid, "/thymus: the member is missing; want %q", Version)
	case out.Environment == "":
		return nil, fault.New(fault.Invalid, "/environment: the member is missing")
	case len(out.Items) == 0 && !out.Complete:
		return nil, fault.New(fault.Invalid, "/deployments: the list is empty; only a complete one may be")
	}
	return out, nil
}

// Names hold no space and nothing unprintable; "@" would begin a version.
var (
	serviceName     = regexp.MustCompile(`^[^\p{C}\p{Z}@/]+(/[^\p{C}\p{Z}@/]+)*$`)
	environmentName = regexp.MustCompile(`^[^\p{C}\p{Z}]+( [^\p{C}\p{Z}]+)*$`)
	versionName     = regexp.MustCompile(`^[^\p{C}\p{Z}]+$`)
	digestForm      = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

func (d strict) item() (item estate.Deployment, err error) {
	named := false
	err = d.object(func(key string) (err error) {
		switch key {
		case "service":
			var name string
			if name, err = d.name(serviceName, "a service, [namespace/]name"); err == nil {
				named = true
				sub, bad := estate.ParseSubject(name)
				if bad != nil {
					return d.Errorf(fault.Invalid, "%v", bad)
				}
				item.Subject.Namespace, item.Subject.Name = sub.Namespace, sub.Name
			}
		case "version":
			item.Subject.Version, err = d.name(versionName, "a version")
		case "digest":
			item.Subject.Digest, err = d.name(digestForm, "a digest, sha256: and 64 lower-case hexadecimal digits")
		case "removed":
			item.Removed, err = d.truth()
		case "alongside":
			item.Alongside, err = d.truth()
		case "config":
			item.Config, err = d.name(versionName, "a digest")
		case "replicas":
			item.Replicas, err = d.count()
		default:
			err = d.unknown(key, "service, version, digest, removed, alongside, config, replicas")
		}
		return err
	})
	switch {
	case err != nil:
	case !named:
		err = d.Errorf(fault.Invalid, "the member service is missing")
	case item.Removed && item.Alongside:
		err = d.Errorf(fault.Invalid, "what is removed cannot run alongside")
	case !item.Removed && item.Subject.Version == "" && item.Subject.Digest == "":
		err = d.Errorf(fault.Invalid, "version or digest must say what runs")
	}
	return item, err
}

// strict reads values of exactly the type asked for, null being none of them.
type strict struct{ *scan.JSON }

// object walks an object, refusing a key given twice.
func (d strict) object(f func(key string) error) error {
	if d.Kind() != '{' {
		return d.Errorf(fault.Invalid, "an object belongs here")
	}
	seen := map[string]bool{}
	return d.Object(func(key []byte) error {
		name := string(key)
		if seen[name] {
			return d.Errorf(fault.Invalid, "the member is given twice")
		}
		// Every unknown key is refused, so this holds the few known ones.
		seen[name] = true
		return f(name)
	})
}

func (d strict) unknown(key, known string) error {
	return d.Errorf(fault.Invalid, "the member %q is unknown; known are %s", scan.Quote(key), known)
}

func (d strict) text() (string, error) {
	if d.Kind() != '"' {
		return "", d.Errorf(fault.Invalid, "a string belongs here")
	}
	return d.String()
}

func (d strict) name(form *regexp.Regexp, what string) (string, error) {
	s, err := d.text()
	if err != nil {
		return "", err
	}
	if len(s) > ident.MaxName || !form.MatchString(s) {
		return "", d.Errorf(fault.Invalid, "%q is not %s", scan.Quote(s), what)
	}
	return s, nil
}

func (d strict) time() (estate.Time, error) {
	s, err := d.text()
	if err != nil {
		return 0, err
	}
	at, err := estate.ParseTime(s)
	if err != nil {
		return 0, d.Errorf(fault.Invalid, "%v", err)
	}
	return at, nil
}

func (d strict) truth() (bool, error) {
	if d.Kind() != 't' {
		return false, d.Errorf(fault.Invalid, "true or false belongs here")
	}
	return d.Bool()
}

func (d strict) count() (int, error) {
	if d.Kind() != '0' {
		return 0, d.Errorf(fault.Invalid, "a number belongs here")
	}
	s, err := d.Text()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n < 0 || n > MaxReplicas || n != float64(int(n)) {
		return 0, d.Errorf(fault.Invalid, "%s is no whole number from 0 to %d", scan.Quote(s), MaxReplicas)
	}
	return int(n), nil
}
