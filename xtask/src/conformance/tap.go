// SPDX-License-Identifier: Apache-2.0

// Package tap writes results in the Test Anything Protocol. Debian has no package of the library that the
// validation suite uses for it; here is as much of that library's interface as the suite calls.
package tap

import (
	"encoding/json"
	"fmt"
	"strings"
)

// T is one stream of results, on standard output.
type T struct {
	count *int
	todo  bool
}

// New makes a stream.
func New() *T { return &T{count: new(int)} }

// Header begins the stream. The number of results is given here, or 0 and AutoPlan at the end.
func (t *T) Header(results int) {
	fmt.Println("TAP version 13")
	if results > 0 {
		fmt.Printf("1..%d\n", results)
	}
}

// AutoPlan says how many results there were.
func (t *T) AutoPlan() { fmt.Printf("1..%d\n", *t.count) }

// Ok is one result.
func (t *T) Ok(passed bool, description string) {
	*t.count++
	words := "ok"
	if !passed {
		words = "not ok"
	}
	mark := "-"
	if t.todo {
		mark = "# TODO"
	}
	fmt.Printf("%s %d %s %s\n", words, *t.count, mark, strings.ReplaceAll(description, "\n", " "))
}

// Pass is a good result.
func (t *T) Pass(description string) { t.Ok(true, description) }

// Fail is a bad result.
func (t *T) Fail(description string) { t.Ok(false, description) }

// Todo gives the same stream, on which results need not be good.
func (t *T) Todo() *T { return &T{count: t.count, todo: true} }

// Skip is a number of results that cannot be had here.
func (t *T) Skip(results int, description string) {
	for i := 0; i < results; i++ {
		*t.count++
		fmt.Printf("ok %d # SKIP %s\n", *t.count, description)
	}
}

// Diagnostic is a remark on the result before it.
func (t *T) Diagnostic(message string) {
	fmt.Println("# " + strings.ReplaceAll(strings.TrimSpace(message), "\n", "\n# "))
}

// Diagnosticf is a remark, formatted.
func (t *T) Diagnosticf(format string, args ...interface{}) { t.Diagnostic(fmt.Sprintf(format, args...)) }

// YAML is a remark with members. JSON is YAML.
func (t *T) YAML(message interface{}) error {
	text, err := json.MarshalIndent(message, "  ", "  ")
	if err != nil {
		return err
	}
	fmt.Printf("  ---\n  %s\n  ...\n", text)
	return nil
}
