package seawall.rules.recovery.rto_feasible_test

import rego.v1

import data.seawall.rules.recovery.rto_feasible

tree(seconds) := {
	"datasets": {"d": {"eligibility": "backed_up", "rto_s": 3600}},
	"facts": {"datasets": {"d": {"recovery_seconds": seconds}}},
}

test_within if count(rto_feasible.deny) == 0 with input as tree(3600)

test_above if count(rto_feasible.deny) == 1 with input as tree(3601)

test_null if count(rto_feasible.deny) == 1 with input as tree(null)

test_absent_facts_fire if count(rto_feasible.deny) == 1 with input as object.remove(tree(1), {"facts"})

test_without_its_key_no_throughput_helps if {
	found := rto_feasible.deny with input as tree(9007199254740991)
		with input.facts.datasets.d.loss.none.why as "key_lost"
	count(found) == 1
	some finding in found
	contains(finding.help, "keep the key elsewhere")
}
