package decision_test

import "github.com/interlock-dev/interlock/internal/testing/frameworks"

// Short names for what is used at every turn.
var (
	change     = frameworks.Change
	rsp        = frameworks.RSP
	framework  = frameworks.Small
	compared   = frameworks.Compared
	copyOf     = frameworks.CopyOf
	lines      = frameworks.Lines
	count      = frameworks.Count
	hours      = frameworks.Hours
	evict      = frameworks.Evict
	obligation = frameworks.Obligation
	threshold  = frameworks.Threshold
)
