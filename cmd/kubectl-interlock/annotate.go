package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/interlock-dev/interlock/internal/check"
	"github.com/interlock-dev/interlock/internal/manifests"
)

// The formats by which pipelines show findings beside the lines that they are about.
const (
	asSARIF  format = "sarif"
	asJUnit  format = "junit"
	asGitHub format = "github"
)

// remark is one finding, with what it is about.
type remark struct {
	check.Finding
	about string
}

func (r *remark) text() string {
	text := r.about + ": " + r.Message
	if r.Remedy != "" {
		text += ". To do: " + r.Remedy
	}
	return line(text)
}

// rule names the Safeguard, or what Interlock itself asks for.
func (r *remark) rule() string {
	if r.Safeguard == "" {
		return "interlock"
	}
	return line(r.Safeguard)
}

// remarks gives all findings, and each verdict and fate that no finding explains.
func remarks(r *check.Result) []remark {
	var all []remark
	add := func(about string, at manifests.Position, bad bool, why string, findings []check.Finding) {
		explained := false
		for _, f := range findings {
			explained = explained || f.Holds
			all = append(all, remark{f, about})
		}
		if bad && !explained {
			all = append(all, remark{check.Finding{Holds: true, At: at, Message: why}, about})
		}
	}
	for i := range r.Models {
		m := &r.Models[i]
		add(fmt.Sprintf("ModelDeployment %s/%s would be %s", m.Namespace, m.Name, m.Verdict), m.At, !m.Passes(), m.Message, m.Findings)
	}
	for i := range r.Workloads {
		w := &r.Workloads[i]
		add(fmt.Sprintf("%s %s/%s: %s", w.Kind, w.Namespace, w.Name, w.Fate), w.At, !w.Passes(), w.Why, w.Findings)
	}
	return all
}

// printGitHub prints workflow commands of GitHub Actions, which annotate lines.
func printGitHub(w io.Writer, r *check.Result) {
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	for _, m := range remarks(r) {
		level := "warning"
		if m.Holds {
			level = "error"
		}
		where := ""
		if m.At.File != "" {
			where = fmt.Sprintf("file=%s,line=%d,col=%d,", property.Replace(m.At.File), max(m.At.Line, 1), max(m.At.Column, 1))
		}
		fmt.Fprintf(w, "::%s %stitle=%s::%s\n", level, where, property.Replace(m.rule()), data.Replace(m.text()))
	}
}

// The parts of SARIF 2.1.0 that are written (docs.oasis-open.org/sarif/sarif/v2.1.0).
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool    sarifTool     `json:"tool"`
		Results []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID string `json:"id"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations,omitempty"`
	}
	sarifLocation struct {
		PhysicalLocation sarifPhysicalLocation `json:"physicalLocation"`
	}
	sarifPhysicalLocation struct {
		ArtifactLocation sarifArtifactLocation `json:"artifactLocation"`
		Region           *sarifRegion          `json:"region,omitempty"`
	}
	sarifArtifactLocation struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn,omitempty"`
	}
)

func sarifOf(r *check.Result) sarifLog {
	run := sarifRun{Results: []sarifResult{}, Tool: sarifTool{sarifDriver{Name: "kubectl-interlock", InformationURI: "https://github.com/interlock-dev/interlock", Rules: []sarifRule{}}}}
	known := map[string]bool{}
	for _, m := range remarks(r) {
		if !known[m.rule()] {
			known[m.rule()] = true
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{m.rule()})
		}
		result := sarifResult{RuleID: m.rule(), Level: "note", Message: sarifText{m.text()}}
		if m.Holds {
			result.Level = "error"
		}
		if m.At.File != "" {
			at := sarifPhysicalLocation{ArtifactLocation: sarifArtifactLocation{filepath.ToSlash(m.At.File)}}
			if m.At.Line > 0 {
				at.Region = &sarifRegion{m.At.Line, m.At.Column}
			}
			result.Locations = []sarifLocation{{at}}
		}
		run.Results = append(run.Results, result)
	}
	return sarifLog{"https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json", "2.1.0", []sarifRun{run}}
}

// The parts of JUnit's XML that all readers of it know.
type (
	junitSuite struct {
		XMLName  xml.Name    `xml:"testsuite"`
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name     string         `xml:"name,attr"`
		Class    string         `xml:"classname,attr"`
		File     string         `xml:"file,attr,omitempty"`
		Failures []junitFailure `xml:"failure"`
	}
	junitFailure struct {
		Type    string `xml:"type,attr"`
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// printJUnit prints a case for each model and workload.
func printJUnit(w io.Writer, r *check.Result) error {
	suite := junitSuite{Name: "kubectl interlock check"}
	add := func(class, name string, at manifests.Position, bad bool, why string, findings []check.Finding) {
		c := junitCase{Name: line(name), Class: line(class), File: line(at.File)}
		for _, f := range findings {
			if f.Holds {
				m := remark{f, name}
				c.Failures = append(c.Failures, junitFailure{m.rule(), line(f.Message), line(f.At.String()) + "\n" + m.text()})
			}
		}
		if bad && len(c.Failures) == 0 {
			c.Failures = []junitFailure{{"interlock", line(why), line(at.String())}}
		}
		suite.Tests++
		if len(c.Failures) > 0 {
			suite.Failures++
		}
		suite.Cases = append(suite.Cases, c)
	}
	for i := range r.Models {
		m := &r.Models[i]
		add("ModelDeployment", m.Namespace+"/"+m.Name, m.At, !m.Passes(), m.Message, m.Findings)
	}
	for i := range r.Workloads {
		wl := &r.Workloads[i]
		add(wl.Kind, strings.TrimSuffix(wl.Namespace+"/"+wl.Name+" "+wl.Template, " "), wl.At, !wl.Passes(), wl.Why, wl.Findings)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(suite); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}
