package demo

import (
	"fmt"
	"strings"
)

// exploited is one entry of the KEV list.
type exploited struct {
	CVE        string `json:"cveID"`
	Vendor     string `json:"vendorProject"`
	Product    string `json:"product"`
	Name       string `json:"vulnerabilityName"`
	Added      string `json:"dateAdded"`
	Text       string `json:"shortDescription"`
	Action     string `json:"requiredAction"`
	Due        string `json:"dueDate"`
	Ransomware string `json:"knownRansomwareCampaignUse"`
	Notes      string `json:"notes"`
}

// likely is one CVE's EPSS score and percentile on the story's first and last
// day; those of the first are "-" where it had none yet.
type likely struct {
	cve         string
	first, last [2]string
}

type catalogue struct {
	Title    string      `json:"title"`
	Version  string      `json:"catalogVersion"`
	Released string      `json:"dateReleased"`
	Count    int         `json:"count"`
	Entries  []exploited `json:"vulnerabilities"`
}

// readSignals reads what is known of exploitation.
func (s *story) readSignals() error {
	err := lines("kev.txt", func(line string) error {
		w := strings.Fields(line)
		if len(w) != 6 {
			return fmt.Errorf("want: CVE added due ransomware vendor product")
		}
		product := strings.ReplaceAll(w[5], "-", " ")
		s.exploited = append(s.exploited, exploited{
			CVE: w[0], Added: w[1], Due: w[2], Ransomware: w[3], Vendor: w[4], Product: product,
			Name: product + " vulnerability", Text: "Exploited in the wild.",
			Action: "Apply the vendor's updates, or stop using it.",
		})
		return nil
	})
	if err != nil {
		return err
	}
	return lines("epss.txt", func(line string) error {
		w := strings.Fields(line)
		switch len(w) {
		case 3:
			s.likely = append(s.likely, likely{w[0], [2]string{w[1], w[2]}, [2]string{w[1], w[2]}})
		case 5:
			s.likely = append(s.likely, likely{w[0], [2]string{w[1], w[2]}, [2]string{w[3], w[4]}})
		default:
			return fmt.Errorf("want: CVE score percentile [score percentile]")
		}
		return nil
	})
}

// kev renders CISA's catalogue as of a day.
func (s *story) kev(day string) ([]byte, error) {
	return encode(catalogue{
		Title: "CISA Catalog of Known Exploited Vulnerabilities", Version: strings.ReplaceAll(day, "-", "."),
		Released: day + "T00:00:00Z", Count: len(s.exploited), Entries: s.exploited,
	})
}

// epss renders one day's scores.
func (s *story) epss(day string, last bool) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "#model_version:v2025.03.14,score_date:%sT00:00:00+0000\ncve,epss,percentile\n", day)
	for _, l := range s.likely {
		v := l.first
		if last {
			v = l.last
		}
		if v[0] != "-" {
			fmt.Fprintf(&b, "%s,%s,%s\n", l.cve, v[0], v[1])
		}
	}
	return []byte(b.String())
}
