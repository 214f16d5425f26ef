// Package benchtext shows the results of package bench to people: tables, verdicts
// of comparisons, plots.
package benchtext
