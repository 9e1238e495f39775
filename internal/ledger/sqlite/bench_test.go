package sqlite

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"

	"thymus/internal/estate"
	"thymus/internal/ledger"
)

// universe is how many package versions the benchmarks' estate knows.
const universe = 100_000

func samplePackage(i int) estate.Package {
	name, version := fmt.Sprintf("package-%d", i/5), fmt.Sprintf("%d.0.%d", i%5, i%7)
	return estate.Package{Key: "pkg:npm/" + name + "@" + version, Name: name, Version: version, Ecosystem: "npm",
		Match: [2]estate.Coordinate{{Name: name, Version: version}}}
}

// sample makes entry n: a bill of packages drawn from the universe, the same
// ones for the same n.
func sample(n, packages int) ledger.Entry {
	body := strconv.Itoa(n)
	sum := sha256.Sum256([]byte(body))
	r := rand.New(rand.NewPCG(uint64(n), 1))
	b := &ledger.NewBill{Subject: estate.Subject{Name: fmt.Sprintf("service-%d", n/10), Version: strconv.Itoa(n)},
		Format: "CycloneDX 1.6 JSON", Generator: "syft", At: estate.Time(1000 + n)}
	seen := map[int]bool{}
	for len(b.Packages) < packages {
		// Popular packages are popular.
		i := int(float64(universe) * r.Float64() * r.Float64() * r.Float64())
		if !seen[i] {
			seen[i] = true
			b.Packages = append(b.Packages, samplePackage(i))
		}
	}
	b.Depends = make([][]int32, packages)
	for i := range b.Depends {
		for range r.IntN(6) {
			b.Depends[i] = append(b.Depends[i], int32(r.IntN(packages)))
		}
	}
	return ledger.Entry{Evidence: ledger.Evidence{SHA256: hex.EncodeToString(sum[:]), Format: "cyclonedx", Body: []byte(body)},
		Claim: estate.Claim{Source: "bench"}, Known: estate.Time(1000 + n), Facts: []ledger.Fact{{Bill: b}}}
}

// BenchmarkAppend stores bills of 400 known packages from parallel callers.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 16} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			l := openTest(b, b.TempDir())
			defer l.Close()
			known := ledger.Entry{Evidence: sample(-1, 1).Evidence, Claim: estate.Claim{Source: "bench"}, Known: 1, Facts: []ledger.Fact{{Bill: &ledger.NewBill{}}}}
			for i := range universe {
				known.Facts[0].Bill.Packages = append(known.Facts[0].Bill.Packages, samplePackage(i))
			}
			if _, err := l.Append(context.Background(), known); err != nil {
				b.Fatal(err)
			}
			entries := make([]ledger.Entry, b.N)
			for i := range entries {
				entries[i] = sample(i, 400)
			}
			var next atomic.Int64
			b.SetParallelism((writers + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
			b.ResetTimer()
			cpu := cpuTime()
			work := func() {
				for i := int(next.Add(1)) - 1; i < b.N; i = int(next.Add(1)) - 1 {
					if _, err := l.Append(context.Background(), entries[i]); err != nil {
						b.Error(err)
						return
					}
				}
			}
			if writers == 1 {
				work()
			} else {
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
					}
					work()
				})
			}
			b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N)/1e6, "cpu-ms/op")
		})
	}
}

// BenchmarkLoad opens and loads 50,000 bills of 400 packages.
func BenchmarkLoad(b *testing.B) {
	if testing.Short() {
		b.Skip("builds a large ledger")
	}
	const bills = 50_000
	dir := b.TempDir()
	l := openTest(b, dir)
	var next atomic.Int64
	b.SetParallelism(8)
	done := make(chan error)
	for range 16 {
		go func() {
			for i := int(next.Add(1)) - 1; i < bills; i = int(next.Add(1)) - 1 {
				if _, err := l.Append(context.Background(), sample(i, 400)); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 16 {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	if info, err := os.Stat(dir + "/" + FileName); err == nil {
		b.Logf("%d bills of 400 packages: %d MB", bills, info.Size()>>20)
	}
	for b.Loop() {
		l := openTest(b, dir)
		n := 0
		err := l.Load(context.Background(), estate.Forever, func(c estate.Change) error {
			for i := range c.Bills {
				n += len(c.Bills[i].Packages)
			}
			return nil
		})
		if err != nil || n != bills*400 {
			b.Fatalf("%d packages, %v", n, err)
		}
		l.Close()
	}
}

// BenchmarkAppendRecords stores new advisory records, 2,000 a call.
func BenchmarkAppendRecords(b *testing.B) {
	const call = 2000
	l := openTest(b, b.TempDir())
	defer l.Close()
	if _, err := l.Append(context.Background(), sample(1, 400)); err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		rs := make([]ledger.Record, call)
		for i := range rs {
			n++
			name := fmt.Sprintf("package-%d", n)
			rs[i] = ledger.Record{Source: "osv", Known: estate.Time(1000 + n), Advisory: estate.Advisory{
				ID: fmt.Sprintf("GHSA-%06d-%06d", n*7919%1_000_000, n), Aliases: []string{fmt.Sprintf("CVE-2026-%d", n)}, Modified: 5,
				Summary: "Prototype pollution in " + name, Scores: []estate.Score{{Type: "CVSS_V3", Vector: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}},
				Affected: []estate.Affected{{Ecosystem: "npm", Name: name, Ranges: []estate.Range{{Type: "SEMVER", Events: []estate.RangeEvent{{Introduced: "0"}, {Fixed: "2.0.0"}}}}}},
				Raw:      fmt.Appendf(nil, `{"schema_version":"1.6.0","id":"GHSA-%d","details":"%s","modified":"2026-01-01T00:00:00Z"}`, n, longText[n%100:])}}
		}
		if _, err := l.AppendRecords(context.Background(), rs); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}

var longText = func() string {
	r := rand.New(rand.NewPCG(1, 2))
	var out []byte
	for len(out) < 2000 {
		out = fmt.Appendf(out, "word%d ", r.IntN(300))
	}
	return string(out)
}()
