package seawall.rules.keys.key_not_in_a_circle_test

import rego.v1

import data.seawall.rules.keys.key_not_in_a_circle as rule

tree(facts) := {
	"plans": {"p": {"encryption_key_ref": "k", "dataset_ids": ["d"]}},
	"settings": {"keys": {"k": {"kept_in": "d"}}},
	"facts": {"keys": facts},
}

circle := {
	"recoverable": false,
	"hangs_on": "itself",
	"kept_in": "d",
	"chain": [{"kind": "key", "id": "k"}, {"kind": "dataset", "id": "d"}, {"kind": "plan", "id": "p"}, {"kind": "key", "id": "k"}],
	"told": "k → d → p → k",
}

nothing := {"recoverable": true, "hangs_on": "nothing", "kept_in": null, "chain": [], "told": ""}

dead_end := {"recoverable": false, "hangs_on": "lost_data", "kept_in": "d", "chain": [{"kind": "key", "id": "k"}, {"kind": "dataset", "id": "d"}], "told": "k → d"}

other := {"recoverable": false, "hangs_on": "other_key", "kept_in": "d", "chain": [{"kind": "key", "id": "l"}], "told": "l → d → p → k"}

test_kept_elsewhere if count(rule.deny) == 0 with input as tree({"k": nothing})

test_a_circle if {
	found := rule.deny with input as tree({"k": circle})
	count(found) == 1
	some finding in found
	finding.notes == ["k → d → p → k"]
	finding.because[0].at == ["plans", "p", "encryption_key_ref"]
}

test_the_keys_of_a_circle_are_one_finding if {
	count(rule.deny) == 1 with input as tree({"k": circle, "l": circle})
}

test_what_hangs_on_a_circle_is_told_with_it if {
	count(rule.deny) == 1 with input as tree({"k": circle, "l": other})
}

test_data_that_nothing_brings_back if {
	found := rule.deny with input as tree({"k": dead_end})
	{finding.msg | some finding in found} == {"key `k` is kept in `d`, which nothing brings back"}
}

test_nothing_proven_is_no_proof if count(rule.deny) == 1 with input as tree({})

test_nothing_proven_at_all if {
	count(rule.deny) == 1 with input as object.remove(tree({}), {"facts"})
}
