package modeldeployment

import (
	"fmt"
	"testing"
	"time"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/verdicts"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/record"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// An entry of the log is bounded, and how many assessments are filed of a model is not.
func TestARecordNamesTheAssessmentsThatDecide(t *testing.T) {
	g := &gathered{model: builder.ModelDeployment("n", "llm").Build()}
	for i := range 5000 {
		a := v1alpha1.CapabilityAssessment{}
		a.Name = fmt.Sprintf("a%d", i)
		g.assessments = append(g.assessments, a)
	}
	d := g.record(time.Now(), verdicts.Judgement{Verdict: decision.Verdict{
		Outcome: v1alpha1.OutcomeCleared, Thresholds: []v1alpha1.ThresholdResult{{Name: "CBRN-3", Assessment: "a7"}}}})
	if len(d.Inputs) != 1 || d.Inputs[0].Name != "a7" || d.Inputs[0].Digest == "" {
		t.Errorf("inputs %v; want a7 alone", d.Inputs)
	}
	if _, err := d.Entry(record.Verifier{}, record.Link{}); err != nil {
		t.Error(err)
	}
}
