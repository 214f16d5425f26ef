package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// pages are the files that hold the catalogue.
func pages() []string {
	return []string{"BEHAVIOUR.md", "HAZARDS.md", "PROMISES.md", "NETSTACK.md"}
}

// item is one row of the catalogue.
type item struct {
	ID     string `json:"id"`
	Status string `json:"status"` // "delivered", "partly" or "later"
	Text   string `json:"text"`
	Page   string `json:"page"`
}

// required says whether a test has to prove the item.
func (i item) required() bool { return i.Status == "delivered" }

// readPages reads every page below root. The items come in the pages' order.
func readPages(root string) ([]item, error) {
	var all []item
	for _, page := range pages() {
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			return nil, err
		}
		items, err := parsePage(page, string(text))
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
	}
	return all, checkSeries(all)
}

// idForm is what the first cell of a row of the catalogue looks like.
var idForm = regexp.MustCompile(`^(?:[CSBH]-\d{2}|P\d{1,2}|PIN-[a-z0-9-]+)$`)

// parsePage returns the rows of the page's tables whose first column is "ID".
func parsePage(page, text string) ([]item, error) {
	var items []item
	inTable := false
	for n, line := range strings.Split(text, "\n") {
		cells := splitRow(line)
		switch {
		case cells == nil:
			inTable = false
			continue
		case cells[0] == "ID":
			inTable = true
			continue
		case !inTable || strings.Trim(cells[0], "-: ") == "":
			continue
		}
		if len(cells) < 3 || !idForm.MatchString(cells[0]) {
			return nil, fmt.Errorf("%s:%d: %q is no row of the catalogue: it needs an identifier, a status and a sentence", page, n+1, line)
		}
		it := item{ID: cells[0], Status: cells[1], Text: cells[2], Page: page}
		switch it.Status {
		case "delivered", "partly", "later":
		default:
			return nil, fmt.Errorf("%s:%d: status of %s is %q; it has to be delivered, partly or later", page, n+1, it.ID, it.Status)
		}
		items = append(items, it)
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("%s: no table with a column ID", page)
	}
	return items, nil
}

// splitRow returns the trimmed cells of a table row, or nil for any other line.
func splitRow(line string) []string {
	line = strings.TrimSpace(line)
	if len(line) < 2 || line[0] != '|' || line[len(line)-1] != '|' {
		return nil
	}
	cells := strings.Split(line[1:len(line)-1], "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells
}

// checkSeries reports an identifier that stands twice and a numbered series that
// does not run from 1 upwards without a hole.
func checkSeries(items []item) error {
	seen := map[string]bool{}
	next := map[string]int{}
	for _, it := range items {
		if seen[it.ID] {
			return fmt.Errorf("%s: %s stands in the catalogue twice", it.Page, it.ID)
		}
		seen[it.ID] = true
		if strings.HasPrefix(it.ID, "PIN-") {
			continue
		}
		series := it.ID[:1]
		number, err := strconv.Atoi(strings.TrimPrefix(it.ID[1:], "-"))
		if err != nil {
			return fmt.Errorf("%s: %s has no number", it.Page, it.ID)
		}
		next[series]++
		if number != next[series] {
			return fmt.Errorf("%s: %s stands where number %d of its series should: items are never dropped or reordered, only marked", it.Page, it.ID, next[series])
		}
	}
	return nil
}
