package seawall.rules.recovery.evidence_fresh_test

import rego.v1

import data.seawall.rules.recovery.evidence_fresh

tree(stale) := {
	"datasets": {"d": {"site": "main", "criticality": "tier2"}},
	"plans": {"p": {"dataset_ids": ["d"]}},
	"settings": {"sites": {"main": {"reconciler_id": "r"}}},
	"facts": {
		"datasets": {"d": {"evidence": {"stale": stale}}},
		"evidence": {"logs": {"r": {"receipts": 1}}},
	},
}

test_nothing_stale if count(evidence_fresh.deny) == 0 with input as tree([])

# Without receipts nothing was asked.
test_no_evidence if count(evidence_fresh.deny) == 0 with input as object.union(
	object.remove(tree([]), {"facts"}),
	{"facts": {"datasets": {"d": {}}}},
)

test_no_log if count(evidence_fresh.deny) == 1 with input as object.union(
	object.remove(tree([]), {"facts"}),
	{"facts": {"datasets": {"d": {}}, "evidence": {"logs": {}}}},
)

# What no plan holds leaves no receipts.
test_no_log_of_what_has_no_plan if {
	count(evidence_fresh.deny) == 0 with input as object.union(
		object.remove(tree([]), {"facts", "plans"}),
		{"plans": {}, "facts": {"datasets": {"d": {}}, "evidence": {"logs": {}}}},
	)
}

test_no_point if count(evidence_fresh.deny) == 1 with input as tree([{"why": "no_point"}])

test_unchecked if {
	some finding in evidence_fresh.deny with input as tree([{"why": "unchecked", "seconds": 90, "limit_s": 60}])
	finding.measure.seconds == 90
}

test_unsound if count(evidence_fresh.deny) == 1 with input as tree([{"why": "unsound", "backup_id": "b"}])

test_unrestored if {
	some finding in evidence_fresh.deny with input as tree([{"why": "unrestored", "seconds": 90, "limit_s": 60, "ever": true}])
	contains(finding.msg, "1 min 30 s old")
}

test_never_restored if {
	some finding in evidence_fresh.deny with input as tree([{"why": "unrestored", "seconds": 90, "limit_s": 60, "ever": false}])
	contains(finding.msg, "no restore of `d`")
}

test_restore_failed if count(evidence_fresh.deny) == 1 with input as tree([{"why": "restore_failed"}])
