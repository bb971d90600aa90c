package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"sigs.k8s.io/yaml"

	"github.com/interlock-dev/interlock/internal/decision"
)

// format is how a command prints.
type format string

const (
	asText format = ""
	asWide format = "wide"
	asJSON format = "json"
	asYAML format = "yaml"
)

// check says whether a command knows the format.
func (f format) check(known ...format) error {
	if f == asText || slices.Contains(known, f) {
		return nil
	}
	names := make([]string, 0, len(known))
	for _, k := range known {
		names = append(names, string(k))
	}
	return fmt.Errorf("--output is %q, but can be %s", string(f), strings.Join(names, ", "))
}

// encode writes a document as JSON or YAML, without what JSON leaves in a text that one cannot see.
func (f format) encode(w io.Writer, document any) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(document); err != nil {
		return err
	}
	visible := bytes.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return -1
	}, text.Bytes())
	if f == asYAML {
		var err error
		if visible, err = yaml.JSONToYAML(visible); err != nil {
			return err
		}
	}
	_, err := w.Write(visible)
	return err
}

// maxText is the longest text of one field, enough for any CEL expression.
const maxText = 8192

// line puts text on one line from which nothing invisible reaches a terminal.
func line(text string) string { return decision.OneLine(text, maxText) }

// lines does so with each of several.
func lines(texts []string) []string {
	clean := make([]string, 0, len(texts))
	for _, t := range texts {
		clean = append(clean, line(t))
	}
	return clean
}

// facts are what a command tells of something, a line each.
type facts [][2]string

// add adds one, unless there is nothing to tell.
func (f *facts) add(name, text string) {
	if text != "" {
		*f = append(*f, [2]string{line(name), line(text)})
	}
}

func (f facts) print(w io.Writer) {
	for _, fact := range f {
		fmt.Fprintf(w, "  %-12s %s\n", fact[0], fact[1])
	}
}
