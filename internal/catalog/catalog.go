// Package catalog holds the explicit lists of what plugs in: a new reader is
// one folder and one line here. Nothing registers itself.
package catalog

import (
	"thymus/internal/read"
	"thymus/internal/read/cdevents"
	"thymus/internal/read/csaf"
	"thymus/internal/read/cyclonedx"
	"thymus/internal/read/deployment"
	"thymus/internal/read/epss"
	"thymus/internal/read/estatefile"
	"thymus/internal/read/kev"
	"thymus/internal/read/openvex"
	"thymus/internal/read/osv"
	"thymus/internal/read/spdx"
	"thymus/internal/read/spdx3"
	"thymus/internal/read/verdict"
)

// Readers returns every reader, in the order in which they are asked whether a
// document is theirs: the formats that state their name come first.
func Readers() []read.Reader {
	return []read.Reader{
		deployment.New(),
		verdict.New(),
		estatefile.New(),
		cyclonedx.Reader{},
		spdx.Reader{},
		spdx3.Reader{},
		cdevents.New(),
		openvex.New(),
		csaf.New(),
		kev.New(),
		epss.New(),
		osv.New(),
	}
}
