package seawall.rules.recovery.evidence_within_target_test

import rego.v1

import data.seawall.rules.recovery.evidence_within_target

loss(seconds, rpo) := {
	"datasets": {"d": {"rpo_s": rpo}},
	"facts": {"datasets": {"d": {"evidence": {"largest_loss": {
		"seconds": seconds,
		"point": "2026-11-01T00:00:00Z",
		"failure_before": "2026-11-01T01:00:00Z",
	}}}}},
}

drill(seconds) := {
	"scenarios": {"s": {"objective": {"rto_s": 3600}}},
	"facts": {"scenarios": {"s": {"evidence": {"drilled": {"seconds": seconds}}}}},
}

test_loss_within if count(evidence_within_target.deny) == 0 with input as loss(3600, 3600)

test_loss_above if count(evidence_within_target.deny) == 1 with input as loss(3601, 3600)

test_loss_without_number if count(evidence_within_target.deny) == 1 with input as loss(null, 3600)

test_no_loss_seen if count(evidence_within_target.deny) == 0 with input as {
	"datasets": {"d": {"rpo_s": 1}},
	"facts": {"datasets": {"d": {"evidence": {"largest_loss": null}}}},
}

test_no_evidence if count(evidence_within_target.deny) == 0 with input as {
	"datasets": {"d": {"rpo_s": 1}},
	"facts": {"datasets": {"d": {}}, "scenarios": {"s": {}}},
}

test_drill_within if count(evidence_within_target.deny) == 0 with input as drill(3600)

test_drill_above if count(evidence_within_target.deny) == 1 with input as drill(3601)

# Nobody knows how long it took: no number is above.
test_drill_without_length if count(evidence_within_target.deny) == 0 with input as drill(null)
