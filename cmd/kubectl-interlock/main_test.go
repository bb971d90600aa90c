package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	testingclock "k8s.io/utils/clock/testing"
)

var now = time.Date(2026, 5, 14, 12, 0, 0, 0, time.UTC)

// ran is what became of a command.
type ran struct {
	out, err string
	code     int
}

// command runs the plugin with something on its standard input, far from any cluster.
func command(t *testing.T, stdin string, args ...string) ran {
	t.Helper()
	t.Setenv("KUBECONFIG", "testdata/no-such-kubeconfig")
	streams, in, out, errOut := genericiooptions.NewTestIOStreams()
	in.WriteString(stdin)
	code := run(t.Context(), args, streams, testingclock.NewFakePassiveClock(now))
	checkVisible(t, out)
	checkVisible(t, errOut)
	return ran{out.String(), errOut.String(), code}
}

// checkVisible fails if anything was printed but ends of lines and what one can see.
func checkVisible(t *testing.T, printed *bytes.Buffer) {
	t.Helper()
	for _, r := range printed.String() {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("printed %U in %q", r, printed.String())
		}
	}
}

func TestErrorsAreOneLine(t *testing.T) {
	const complete = "testdata/before.yaml"
	for name, tc := range map[string]struct {
		args  []string
		stdin string
		want  string
	}{
		"no such command":       {args: []string{"dif"}, want: "unknown command"},
		"no such flag":          {args: []string{"diff", "--nope"}, want: "see kubectl interlock diff --help"},
		"an escape in an error": {args: []string{"diff", "--\x1b[2J"}, want: "unknown flag: --[2J"},
		"no format":             {args: []string{"diff", "-o", "xml", complete, complete}, want: `--output is "xml", but can be json, yaml`},
		"no key of the log":     {args: []string{"verify-log", "testdata"}, want: "--key is missing"},
		"no log":                {args: []string{"verify-log", "testdata", "--key", "testdata/nope.pub"}, want: "read the public key"},
		"no name of a log":      {args: []string{"new-log-key", "two words", "testdata/nope"}, want: "cannot name a log"},
		"a key that is there":   {args: []string{"new-log-key", "log", complete}, want: "file exists"},
		"nothing to compare":    {args: []string{"diff"}, want: "name what to compare"},
		"one side":              {args: []string{"diff", complete}, want: "name what to compare"},
		"three sides":           {args: []string{"diff", "a", "b", "c"}, want: "at most 2"},
		"two names with -f":     {args: []string{"diff", "-f", complete, "a", "b"}, want: "one NAME at the most"},
		"a path as NAME":        {args: []string{"diff", "-f", complete, "after.yaml"}, want: "looks like a path"},
		"no such file":          {args: []string{"diff", "testdata/nope.yaml", complete}, want: "does not exist"},
		"no such folder":        {args: []string{"diff", "./nope", complete}, want: "does not exist"},
		"a folder without any":  {args: []string{"diff", "..", complete}, want: "recognized file extensions"},
		"no policy in it":       {args: []string{"diff", "-", complete}, stdin: "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n", want: "standard input holds no ScalingPolicy"},
		"no YAML":               {args: []string{"diff", "-", complete}, stdin: "a: [", want: "standard input"},
		"a misspelt field":      {args: []string{"diff", complete, "testdata/misspelt.yaml"}, want: `ScalingPolicy tiny: strict decoding error: unknown field "spec.titel"`},
		"a name twice":          {args: []string{"diff", complete, "testdata/twice.yaml"}, want: "Safeguard pinned is defined twice"},
		"a Safeguard that is not there": {args: []string{"diff", complete, "testdata/incomplete.yaml"},
			want: "ScalingPolicy tiny asks for Safeguard egress, which is not there"},
		"no cluster":          {args: []string{"diff", "-f", complete, "--server=http://127.0.0.1:1"}, want: "list ScalingPolicies"},
		"no number of days":   {args: []string{"calendar", "--within", "1w"}, want: "--within is \"1w\", but must be a number of days"},
		"no days":             {args: []string{"calendar", "--within", "0d"}, want: "must be a number of days"},
		"too many days":       {args: []string{"calendar", "--within", "3651d"}, want: "must be a number of days"},
		"more than a flag":    {args: []string{"calendar", "x"}, want: "unknown command"},
		"nothing to approve":  {args: []string{"approve", "waiver", "--role=rso"}, want: "name what you approve: KIND NAME or KIND/NAME"},
		"no such kind":        {args: []string{"approve", "pod", "x", "--role=rso"}, want: `"pod" is not a kind that is approved, which are capabilityassessment, waiver, modeldeployment`},
		"no role":             {args: []string{"approve", "waiver/x"}, want: "--role is missing"},
		"no dry run":          {args: []string{"approve", "waiver/x", "--role=rso", "--dry-run=maybe"}, want: `--dry-run is "maybe", but can be none, client, server`},
		"approve, no format":  {args: []string{"approve", "waiver/x", "--role=rso", "-o", "wide"}, want: "can be json, yaml"},
		"nothing to explain":  {args: []string{"explain"}, want: "accepts 1 arg(s), received 0"},
		"explain, no format":  {args: []string{"explain", "x", "-o", "wide"}, want: "can be json, yaml"},
		"calendar, no format": {args: []string{"calendar", "-o", "name"}, want: "can be wide, json, yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			got := command(t, tc.stdin, tc.args...)
			if got.code != 1 || got.out != "" {
				t.Errorf("ended with %d and printed %q", got.code, got.out)
			}
			if !strings.HasPrefix(got.err, "error: ") || !strings.Contains(got.err, tc.want) || strings.Count(got.err, "\n") != 1 {
				t.Errorf("said %q, want one line with %q", got.err, tc.want)
			}
		})
	}
}
