package sqlite

import (
	"slices"
	"strings"
	"testing"
)

// walks lists the statements that may read a whole table, and which.
var walks = map[string][]string{
	reading[rUsedRevisions]: {"SCAN u", "SCAN a"}, // the names in use are what it is for
	reading[rScores]:        {"SCAN likelihood"},
	reading[rEcosystems]:    {"SCAN ecosystem"},
	reading[rClaims]:        {"SCAN claim"},
	reading[rOtherChanges]:  {"SCAN change"},
	reading[rAllRevisions]:  {"SCAN advisory_revision"},
	writing[wDropBodies]:    {"SCAN body"},
	writing[wDropRevisions]: {"SCAN advisory_revision"},
}

// TestPlans asks SQLite how it will run every statement: by an index, without
// sorting, unless the list above says otherwise.
func TestPlans(t *testing.T) {
	l := openTest(t, t.TempDir())
	defer l.Close()
	for _, query := range slices.Concat(writing, reading) {
		args := make([]any, strings.Count(query, "?"))
		if strings.Contains(query, "?1") {
			args = make([]any, 1+strings.Count(query, "?2"))
		}
		rows, err := l.read.Query("EXPLAIN QUERY PLAN "+query, args...)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		for rows.Next() {
			var id, parent, unused int
			var step string
			if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
				t.Fatal(err)
			}
			scan := strings.HasPrefix(step, "SCAN") && !strings.HasPrefix(step, "SCAN CONSTANT") &&
				!slices.ContainsFunc(walks[query], func(w string) bool { return strings.HasPrefix(step+" ", w+" ") })
			if scan || strings.Contains(step, "TEMP B-TREE FOR ORDER") || strings.Contains(step, "AUTOMATIC") {
				t.Errorf("%s\n  plan: %s", query, step)
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		rows.Close()
	}
}
