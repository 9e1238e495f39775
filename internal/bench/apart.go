package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// MeasureApart is Measure in a process of its own, this program called again as
// "thymus bench --measure", so that memory is the engine's alone. A program of
// another name (a test) measures in its own process.
func MeasureApart(ctx context.Context, o Options, progress func(what string, done, of int)) (*Report, error) {
	self, err := os.Executable()
	if err != nil || !strings.HasPrefix(filepath.Base(self), "thymus") {
		return Measure(ctx, o, progress)
	}
	args := []string{"bench", "--measure", "--output", "json", "--dir", o.Dir}
	for name, n := range map[string]int{"releases": o.Releases, "packages": o.Packages, "deployments": o.Deployments, "advisories": o.Advisories} {
		args = append(args, "--"+name, strconv.Itoa(n))
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("bench: measuring: %w: %s", err, strings.TrimSpace(errs.String()))
	}
	var r Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return nil, fmt.Errorf("bench: report: %w", err)
	}
	return &r, nil
}
