package seawall.rules.scenarios.drills_held_test

import rego.v1

import data.seawall.rules.scenarios.drills_held

tree(stale) := {"facts": {"scenarios": {"s": {"evidence": {"stale": stale}}}}}

test_held if count(drills_held.deny) == 0 with input as tree([])

test_no_evidence if count(drills_held.deny) == 0 with input as {"facts": {"scenarios": {"s": {}}}}

test_undrilled if {
	some finding in drills_held.deny with input as tree([{"why": "undrilled", "seconds": 90, "limit_s": 60, "ever": true}])
	contains(finding.msg, "1 min 30 s old")
}

test_never_drilled if {
	some finding in drills_held.deny with input as tree([{"why": "undrilled", "seconds": 90, "limit_s": 60, "ever": false}])
	contains(finding.msg, "no drill of `s`")
}

test_failed if count(drills_held.deny) == 1 with input as tree([{"why": "drill_failed"}])
