package manifests

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Position is a place in a file. Lines and columns count from one; zero means that they are not known.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// String gives "FILE:LINE:COLUMN", as far as that is known.
func (p Position) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// source is where an object stands.
type source struct {
	file string
	// line is that of the first line of the document; zero, it is not known.
	line int
	text []byte
	// path of the object within the document.
	path []string
}

// At gives the position of a field of an object by its keys and indexes, such as spec, containers, 0. Where the field is not there it
// is that of what lacks it.
func (s source) At(path ...string) Position {
	at := Position{File: s.file, Line: s.line}
	if s.line == 0 || len(s.text) == 0 {
		return at
	}
	var document yaml.Node
	if yaml.Unmarshal(s.text, &document) != nil || len(document.Content) == 0 {
		return at
	}
	node := document.Content[0]
	for _, part := range append(s.path, path...) {
		for node.Kind == yaml.AliasNode {
			node = node.Alias
		}
		key, below := child(node, part)
		if below == nil {
			break
		}
		node = below
		at.Line, at.Column = s.line+key.Line-1, key.Column
	}
	if at.Column == 0 {
		at.Line, at.Column = s.line+node.Line-1, node.Column
	}
	return at
}

// child gives what stands under a key or an index, and the node by which people find it.
func child(node *yaml.Node, part string) (key, below *yaml.Node) {
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == part {
				return node.Content[i], node.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(part); err == nil && i >= 0 && i < len(node.Content) {
			return node.Content[i], node.Content[i]
		}
	}
	return nil, nil
}

// inLine is how errors of YAML name a line.
var inLine = regexp.MustCompile(`line (\d+): `)

// lineOf gives how far behind the first line of a document an error is.
func lineOf(err error) int {
	if m := inLine.FindStringSubmatch(err.Error()); m != nil {
		if line, convErr := strconv.Atoi(m[1]); convErr == nil {
			return max(line-1, 0)
		}
	}
	return 0
}

// withoutLine gives the error without the line that it names, and without what every error of YAML begins with.
func withoutLine(err error) error {
	text := inLine.ReplaceAllString(err.Error(), "")
	for _, prefix := range []string{"error converting YAML to JSON: ", "yaml: ", "unmarshal errors:\n  "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return errors.New(strings.TrimSpace(text))
}
