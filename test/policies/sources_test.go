package policies

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// A publicSource says where what a golden case is built on was published, and how it is known here.
type publicSource struct {
	document, version, section, url string
	standing                        publicStanding
	// note says what is ours, or what could not be verified.
	note string
}

// A publicStanding is how the text behind a case is known.
type publicStanding string

const (
	// publicRead is a text that was read, in a copy, where the case rests on it.
	publicRead publicStanding = "read"
	// publicToldOf is a text of which only accounts were read.
	publicToldOf publicStanding = "secondary"
	// publicMadeUp is a case that nobody published: it shows what a framework would ask.
	publicMadeUp publicStanding = "illustrative"
)

// madeUp is the source of a case that nobody published.
func madeUp(why string) publicSource { return publicSource{standing: publicMadeUp, note: why} }

func (s publicSource) String() string {
	var parts []string
	for _, p := range []string{s.document, s.version, s.section, s.url, string(s.standing), s.note} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, ", ")
}

// problem says what is missing for a reader to find the text and to know how far to trust the case.
func (s publicSource) problem() string {
	switch {
	case s.standing == publicMadeUp && s.note == "":
		return "an illustrative case does not say what it illustrates"
	case s.standing == publicMadeUp:
		return ""
	case s.standing != publicRead && s.standing != publicToldOf:
		return "the standing is unknown"
	case s.document == "" || s.version == "" || s.section == "":
		return "document, version or section is missing"
	case !strings.HasPrefix(s.url, "https://"):
		return "the address is missing"
	case s.standing == publicToldOf && s.note == "":
		return "a secondary source does not say what was read in its place"
	}
	return ""
}

func TestGoldenCasesSayWhereTheyComeFrom(t *testing.T) {
	for _, cases := range []map[string]rspCase{casesOfRSP22(), casesOfRSP22Complete(), casesOfRSP34()} {
		for name, c := range cases {
			if p := c.model.source.problem(); p != "" {
				t.Errorf("%s, %s: %s", c.pack, name, p)
			}
		}
	}
	for name, m := range othersModels() {
		if p := m.source.problem(); p != "" {
			t.Errorf("%s, %s: %s", m.pack, name, p)
		}
	}
}

// A citedText is one that packs cite, with its version.
type citedText struct{ document, version string }

// textsRead are those that were read whole, in copies; of Kubernetes, the checks of its standards and the section that
// is cited. Of the Act these articles were.
var (
	textsRead = []citedText{
		{"Anthropic Responsible Scaling Policy", "2.2"},
		{"Anthropic Responsible Scaling Policy", "3.4"},
		// The announcement, which has the name of the report behind it.
		{"Anthropic, Activating AI Safety Level 3 Protections", "2025-05-22"},
		{"Anthropic's Frontier Safety Roadmap", "2026-07-29"},
		{"OpenAI Preparedness Framework", "2"},
		{"Google DeepMind Frontier Safety Framework", "3.1"},
		{"EU General-Purpose AI Code of Practice, Safety and Security Chapter", "2025-07-10"},
		{"California SB 53, Transparency in Frontier Artificial Intelligence Act", "Stats. 2025, ch. 138"},
		{"Kubernetes Pod Security Standards", "v1.37"},
		{"Kubernetes documentation, Assigning Pods to Nodes", ""},
	}
	actRead = regexp.MustCompile(`^Article (51\(1\)|51\(1\) and \(2\)|55\([123]\)(\([a-d]\))?)$`)
)

// A source without a standing says that its text was read. It may only be one that was.
func TestPacksClaimNoTextThatWasNotRead(t *testing.T) {
	cited := 0
	err := filepath.WalkDir(packsDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var content any
		if err := yaml.Unmarshal(text, &content); err != nil {
			return err
		}
		eachSource(content, func(s map[string]any) {
			cited++
			if problem := claim(s); problem != "" {
				t.Errorf("%s: %s: %v", path, problem, s)
			}
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if cited < 500 {
		t.Errorf("found %d sources, want some 600: does the test still see them?", cited)
	}
}

// eachSource finds sources wherever they stand, in JSON patches as well.
func eachSource(content any, visit func(map[string]any)) {
	switch c := content.(type) {
	case []any:
		for _, e := range c {
			eachSource(e, visit)
		}
	case map[string]any:
		if c["document"] != nil {
			visit(c)
		}
		for _, e := range c {
			eachSource(e, visit)
		}
	}
}

func claim(s map[string]any) string {
	field := func(name string) string { v, _ := s[name].(string); return v }
	if standing := field("standing"); standing != "" && standing != "Primary" {
		return ""
	}
	switch document := field("document"); {
	case document == "Interlock control catalogue":
		return "the catalogue is ours: standing Proposal"
	case strings.HasPrefix(document, "Regulation (EU) 2024/1689"):
		if !actRead.MatchString(field("section")) {
			return "this article was not read: standing Secondary, or Proposal"
		}
	case !slices.Contains(textsRead, citedText{document, field("version")}):
		return "this text was not read: standing Secondary, or Proposal"
	}
	return ""
}

func TestClaim(t *testing.T) {
	const act = "Regulation (EU) 2024/1689 (AI Act)"
	for name, c := range map[string]struct {
		source map[string]any
		fine   bool
	}{
		"a text that was read":             {map[string]any{"document": "OpenAI Preparedness Framework", "version": "2"}, true},
		"another version of it":            {map[string]any{"document": "OpenAI Preparedness Framework", "version": "3"}, false},
		"no version":                       {map[string]any{"document": "OpenAI Preparedness Framework"}, false},
		"a text that was not read":         {map[string]any{"document": "RAND, Securing AI Model Weights", "version": "2024"}, false},
		"the same, said to be primary":     {map[string]any{"document": "RAND", "standing": "Primary"}, false},
		"the same, said to be secondary":   {map[string]any{"document": "RAND", "standing": "Secondary"}, true},
		"our catalogue":                    {map[string]any{"document": "Interlock control catalogue"}, false},
		"our catalogue, as a proposal":     {map[string]any{"document": "Interlock control catalogue", "standing": "Proposal"}, true},
		"an article that was read":         {map[string]any{"document": act, "section": "Article 55(1)(b)"}, true},
		"an article that was not read":     {map[string]any{"document": act, "section": "Article 52(1)"}, false},
		"two articles, one of them unread": {map[string]any{"document": act, "section": "Article 55(2); Article 56"}, false},
	} {
		if got := claim(c.source); (got == "") != c.fine {
			t.Errorf("%s: %q", name, got)
		}
	}
}
