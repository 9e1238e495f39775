package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"thymus/internal/bench"
	"thymus/internal/fault"
)

func (s *session) benchCommand() *cobra.Command {
	var o bench.Options
	var keep, measure bool
	c := &cobra.Command{
		Use: "bench", Short: "Measure Thymus on a synthetic fleet: ingest, start, memory, answers, lists",
		Long: `Makes a fleet in a temporary directory, the same every time, and measures a
fresh process on it: what an ingest costs, how long a start takes, how much
memory is resident, how fast an advisory is answered and how lists behave.

The facts of the fleet are loaded in bulk, without documents; the figures of
ingest come from 400 real documents sent through the whole main path.`,
		Example: `  thymus bench --releases 5000 --packages 400 --deployments 5000 --advisories 5000
  thymus bench --releases 50000 --packages 400 --deployments 50000 --advisories 50000 --output json`,
		Args: exactly(),
		RunE: s.do(func(ctx context.Context, _ []string) (err error) {
			if o.Releases < 1 || o.Packages < 1 || o.Deployments < 0 || o.Advisories < 1 {
				return fault.New(fault.Usage, "bench: releases, packages and advisories are at least 1")
			}
			if measure {
				report, err := bench.Measure(ctx, o, s.step())
				if err != nil {
					return err
				}
				return s.report(report)
			}
			if o.Dir == "" {
				if o.Dir, err = os.MkdirTemp("", "thymus-bench-"); err != nil {
					return fmt.Errorf("bench: %w", err)
				}
				if !keep {
					defer func() {
						if rm := os.RemoveAll(o.Dir); err == nil && rm != nil {
							err = fmt.Errorf("bench: %w", rm)
						}
					}()
				}
			}
			if err := bench.Generate(ctx, o, s.step()); err != nil {
				return err
			}
			report, err := bench.MeasureApart(ctx, o, s.step())
			s.errs.status("")
			if err != nil {
				return err
			}
			return s.report(report)
		}),
	}
	c.Flags().IntVar(&o.Releases, "releases", 5000, "releases with an SBOM")
	c.Flags().IntVar(&o.Packages, "packages", 400, "packages of each release")
	c.Flags().IntVar(&o.Deployments, "deployments", 5000, "releases that run somewhere")
	c.Flags().IntVar(&o.Advisories, "advisories", 5000, "advisory records")
	c.Flags().StringVar(&o.Dir, "dir", "", "make the fleet in this empty directory, and leave it there")
	c.Flags().BoolVar(&keep, "keep", false, "leave the temporary directory")
	c.Flags().BoolVar(&measure, "measure", false, "only measure the fleet that is in --dir")
	_ = c.Flags().MarkHidden("measure")
	return c
}

// step shows progress on a terminal.
func (s *session) step() func(string, int, int) {
	return func(what string, done, of int) { s.errs.status(fmt.Sprintf("%s %d of %d", what, done, of)) }
}

func (s *session) report(r *bench.Report) error {
	if s.output == "json" {
		b, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		s.out.write(string(b) + "\n")
		return nil
	}
	s.out.line("%s, %s", r.Machine, r.Go)
	s.out.line("%d releases, %d edges, %d package versions, %d deployments, %d open exposures, %d advisories loaded (facts in bulk)",
		r.Releases, r.Edges, r.Packages, r.Deployments, r.Exposures, r.Loaded)
	num := func(f float64, unit string) cell { return cell{text: strconv.FormatFloat(f, 'f', 2, 64) + " " + unit} }
	s.out.table([]string{"what", "figure"}, [][]cell{
		{{text: "start, open to answering"}, num(r.Start, "s")},
		{{text: "memory, loaded and at rest"}, num(r.RSS, "MB")},
		{{text: "memory after thousands of questions in a row"}, num(r.RSSBusy, "MB")},
		{{text: fmt.Sprintf("ingest of a document of %.0f kB, CPU", r.IngestKB)}, num(r.IngestMean, "ms")},
		{{text: "ingest by four writers"}, num(r.IngestRate, "documents/s")},
		{{text: "affected, CPU mean"}, num(r.AffectedMean, "ms")},
		{{text: "affected, CPU 99th percentile"}, num(r.AffectedP99, "ms")},
		{{text: fmt.Sprintf("affected, CPU worst (%s, %d releases)", r.PopularID, r.PopularHits)}, num(r.AffectedWorst, "ms")},
		{{text: "affected, wall 99th percentile"}, num(r.AffectedWall, "ms")},
		{{text: "affected with paths and evidence, CPU mean"}, num(r.FullMean, "ms")},
		{{text: fmt.Sprintf("%d lists, 99th percentile", r.Lists)}, num(r.ListP99, "ms")},
		{{text: "lists, worst (" + r.ListName + ")"}, num(r.ListWorst, "ms")},
		{{text: "news: record read to subscribers told"}, num(r.NewsMean, "ms")},
	})
	return nil
}
